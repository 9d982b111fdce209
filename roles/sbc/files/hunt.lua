-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- What Kamailio does with a call: who may call, which route it takes, target after target until a verdict is final, the record.
-- The plan is plan.lua beside this file. The state of a call lives in its transaction, and after the answer in its dialog.

local folder = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$")
local plan, secrets = dofile(folder .. "/plan.lua"), dofile(folder .. "/secrets.lua")
local RETRY_AFTER_MOST = 300 -- seconds
local IN_DIALOG = 32000 -- ms without an answer to a request within a call (RFC 3261, timer F)
local FOR_EVER = 120000 -- ms
local QUEUED = 600000 -- ms since the last word of a PBX that rings, or plays a queue's music

-- What the caller is told of an outcome that says something about the number; a carrier that was down says nothing about it.
local TOLD = {
    ["404"] = "404 Not Found", ["410"] = "410 Gone", ["433"] = "480 Temporarily Unavailable", ["480"] = "480 Temporarily Unavailable",
    ["482"] = "482 Loop Detected", ["483"] = "483 Too Many Hops", ["484"] = "484 Address Incomplete", ["485"] = "404 Not Found",
    ["486"] = "486 Busy Here", ["600"] = "486 Busy Here", ["603"] = "603 Decline", ["604"] = "404 Not Found", ["607"] = "603 Decline",
    ["608"] = "603 Decline", rang_out = "480 Temporarily Unavailable",
}

-- Answers that ask the caller to send the request in another way, and the headers that say in which.
local ASKS = {
    ["420"] = "420 Bad Extension", ["421"] = "421 Extension Required", ["422"] = "422 Session Interval Too Small", ["428"] = "428 Use Identity Header",
    ["429"] = "429 Provide Referrer Identity", ["494"] = "494 Security Agreement Required",
}
local ASKED_BY = {"Min-SE", "Require", "Unsupported", "Security-Server"}

local function get(name)
    local value = KSR.pv.get(name)
    if value == nil or value == "<<null>>" or value == "" then return nil end
    return value
end
local function now() return math.floor(tonumber(KSR.pv.get("$TV(Sn)")) * 1000) end -- ms; of now, not of the message
local function stamp(ms) return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(ms / 1000)) .. string.format(".%03dZ", ms % 1000) end
local function plain(value, allowed) return (tostring(value or ""):gsub("[^" .. allowed .. "]", "")) end
local function unescaped(value) return value and (value:gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end)) end
local function log(line) KSR.xlog.xerr(line:gsub("%$", "$$") .. "\n") end

-- --- JSON ---

local function text(value)
    if value == nil or value == "" then return "null" end
    return '"' .. tostring(value):gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

local function object(...)
    local parts = {}
    for _, pair in ipairs({...}) do parts[#parts + 1] = '"' .. pair[1] .. '":' .. tostring(pair[2]) end
    return "{" .. table.concat(parts, ",") .. "}"
end

-- The monitor says time and again where it listens, and by which word it knows us. A datagram waits for nobody: one that hangs stops no call.
local function tell(event, fields)
    local port, word = (KSR.htable.sht_get("listener", "monitor") or ""):match("^(%d+) (%x+)$")
    if port then KSR.corex.sendx("sip:127.0.0.1:" .. port, plan.socket, '{"event":"' .. event .. '","word":"' .. word .. '",' .. fields:sub(2)) end
end

-- --- the state of a call ---

local function literal(value)
    if type(value) == "table" then
        local parts = {}
        for key, item in pairs(value) do parts[#parts + 1] = "[" .. literal(key) .. "]=" .. literal(item) end
        return "{" .. table.concat(parts, ",") .. "}"
    end
    if type(value) == "string" then return "'" .. value:gsub("[%c'\\\128-\255]", function(c) return string.format("\\%03d", c:byte()) end) .. "'" end
    return tostring(value)
end

-- A value as `literal` wrote it; it may come from the other SBC, so nothing in it is called.
local function read(stored)
    if not stored or stored:gsub("'[^']*'", ""):find("(", 1, true) then return nil end
    local known = load("return " .. stored, "state", "t", {})
    return known and known()
end
local function keep(name, value)
    KSR.pv.unset("$(avp(" .. name .. ")[*])")
    if value ~= nil then KSR.pv.sets("$avp(" .. name .. ")", tostring(value)) end
end
local function recall(name) return get("$avp(" .. name .. ")") end
local function save(call) keep("siptrunk", literal(call)) end

-- With a floating address the other SBC may see the answer of a call, or its end: it has the table `calls` too (DMQ).
local shared = plan.shared
local function us() return shared.own .. " since " .. KSR.pv.get("$Tb") end
local function share(call)
    if not shared then return end
    call.by = us()
    -- nothing that JSON would escape: Kamailio does not count that when it fills a datagram for an SBC which has just started
    KSR.htable.sht_sets("calls", call.call, (literal(call):gsub('[%%"\\]', function(c) return string.format("%%%02X", c:byte()) end)))
end
local function known(call_id) return call_id and read(unescaped(KSR.htable.sht_get("calls", call_id))) end
local function forget(call)
    if shared then KSR.htable.sht_rm("calls", call.call) end
end
-- Unless it is the other one's by now: whoever was late leaves what that one knows.
local function forget_ours(call)
    local seen = shared and known(call.call)
    if seen and seen.by == us() then forget(call) end
end

-- Whether we still speak from the address that calls come to. Where it has just left, nothing leaves us any more, neither to a target nor to the
-- caller: having heard nothing, he sends the call again, to the other SBC. A trial call (outbound) is our own address's.
local function is_here()
    local file = shared and not recall("trial_call") and io.open("/proc/net/fib_trie", "r")
    if not file then return true end
    local addresses = file:read("a")
    file:close()
    return addresses:find("|%-%- " .. shared.floating:gsub("%.", "%%.") .. "\n%s+/32 host LOCAL") ~= nil
end

-- Whether the address left before this message was read: the other SBC has it too, or will, for who heard nothing sends it again.
local function is_late() return shared and KSR.pv.get("$Ri") == shared.floating and not is_here() end

-- Whether the answer to what we asked went to the other SBC, which has the address since then, or will go there: the record is the other's too.
local function is_elsewhere(call)
    if not shared or recall("trial_call") then return false end
    local seen = known(call.call)
    return not seen or seen.by ~= us() or not is_here()
end

-- --- order (RFC 2782) ---

-- Kamailio's processes are copies of one, and would all draw the same.
local seeded = false
local function random(low, high)
    if not seeded then math.randomseed(os.time() % 1000 * 4194304 + tonumber(KSR.pv.get("$pp"))) end
    seeded = true
    return math.random(low, high)
end

-- One after the other is drawn, each with a chance by its weight. Those of weight 0 stand first, and have a small chance;
-- where all have it, all have the same.
local function drawn(group)
    local rest, sum, order = {}, 0, {}
    for _, item in ipairs(group) do sum = sum + item.weight end
    for _, zero in ipairs({true, false}) do
        for _, item in ipairs(group) do
            if (item.weight == 0) == zero then rest[#rest + 1] = {item = item, weight = sum == 0 and 1 or item.weight} end
        end
    end
    if sum == 0 then sum = #rest end
    while #rest > 0 do
        local point, at = random(rest[1].weight > 0 and 1 or 0, sum), 1
        while point > rest[at].weight do
            point, at = point - rest[at].weight, at + 1
        end
        sum = sum - rest[at].weight
        order[#order + 1] = table.remove(rest, at).item
    end
    return order
end

local function in_order(groups)
    local order = {}
    for _, group in ipairs(groups) do
        for _, item in ipairs(#group > 1 and drawn(group) or group) do order[#order + 1] = item end
    end
    return order
end

-- --- marks ---

-- Marks are the second until which they hold: what nobody renews runs out.
local function marked(mark, key) return (tonumber(KSR.htable.sht_get("marks", mark .. ":" .. key)) or 0) > os.time() end
local function cool(target, seconds)
    if seconds > 0 then KSR.htable.sht_setxi("marks", "cool:" .. target.mark, os.time() + seconds, seconds) end
end

local function exists(path)
    local file = io.open(path, "r")
    if file then file:close() end
    return file ~= nil
end

-- A file for each drained trunk: it outlives a restart, and works while Kamailio does not run.
local function drained(trunk) return exists(plan.drained .. "/" .. trunk) end

-- Why a target is passed over, or nil.
local function unwell(trunk, target)
    if marked("closed", trunk.name) then return "closed" end
    if marked("held", target.mark) then return "held" end
    if target.set > 0 and KSR.dispatcher.ds_is_active_uri(target.set, "sip:" .. target.authority) < 0 then return "down" end
    if marked("cool", target.mark) then return "cooling" end
end

-- --- places ---

-- A call has its place at the trunk that it asks: one among max_channels, and on trial the only one. The end of the dialog gives back what
-- is left. In the request's own route dialog gives none back: there it waits for the branch that goes to the next trunk.
local within_request = false

local function taken(profile, trunk)
    KSR.dialog.get_profile_size(profile, trunk.name, "$var(siptrunk_size)")
    return tonumber(KSR.pv.get("$var(siptrunk_size)")) or 0
end

local function give_back(call)
    for _, place in ipairs(call.behind) do KSR.dialog.unset_dlg_profile(place[1], place[2]) end
    call.behind = {}
end

local function leave(call)
    for _, profile in ipairs(call.places) do call.behind[#call.behind + 1] = {profile, call.at} end
    call.at, call.places = nil, {}
    if not within_request then give_back(call) end
end

-- Why there is no place at the trunk; nil: the call has it, and no other.
local function enter(call, trunk, emergency)
    local trial, why = not emergency and not call.after and marked("trial", trunk.name), nil
    KSR.htable.sht_lock("locks", trunk.name)
    if not emergency and trunk.max_channels > 0 and taken("trunk", trunk) >= trunk.max_channels then
        why = "full"
    elseif trial and taken("trial", trunk) > 0 then
        why = "trial"
    else
        leave(call)
        call.at, call.places = trunk.name, trial and {"trunk", "trial"} or {"trunk"}
        for _, profile in ipairs(call.places) do KSR.dialog.set_dlg_profile(profile, trunk.name) end
    end
    KSR.htable.sht_unlock("locks", trunk.name)
    return why
end

-- --- the record ---

local function write(call)
    local list, over = "[" .. table.concat(call.attempts, ",") .. "]", "[" .. table.concat(call.passed, ",") .. "]"
    local line = object(
        {"at", text(stamp(call.began))}, {"call", text(call.call)}, {"from", '"' .. plain(call.from, "0-9a-zA-Z*#+") .. '"'}, {"to", text(call.number)},
        {"route", text(call.route)}, {"trunk", '"' .. call.last_trunk .. '"'}, {"target", '"' .. call.last_target .. '"'}, {"result", text(call.result)},
        {"talk_seconds", call.talked or 0}, {"attempts", list}, {"passed_over", over}, {"pdd_ms", call.pdd or "null"},
        {"quality", call.quality or "null"})
    local file, why = io.open(plan.cdr_file, "a")
    if not file then return log("the record of a call could not be written: " .. why .. ": " .. line) end
    file:setvbuf("full", #line + 1) -- one write: other processes write too
    file:write(line, "\n")
    file:close()
end

local function tell_attempt(call, code, outcome, ms, verdict)
    tell("SiptrunkAttempt", object({"Route", text(call.route)}, {"Trunk", text(call.last_trunk)}, {"Target", text(call.last_target)}, {"Code", text(code)},
        {"Outcome", text(outcome)}, {"Ms", ms}, {"Verdict", text(verdict)}, {"Call", text(call.call)}))
end

local function note(call, outcome, code, reason, verdict)
    local ms = math.max(0, (call.answered_at or now()) - call.asked_at)
    call.attempts[#call.attempts + 1] = object(
        {"at", text(stamp(call.asked_at))}, {"trunk", text(call.last_trunk)}, {"target", text(call.last_target)}, {"code", code or "null"},
        {"reason", text(reason ~= "" and reason or outcome)}, {"ms", ms}, {"next", text(verdict)})
    if outcome ~= "200" then tell_attempt(call, code, outcome, ms, verdict) end
    return ms
end

-- --- the caller (RFC 3323, RFC 3325) ---

-- They name the caller beside From (RFC 3325, and its draft of before).
local IDENTITIES = {"P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID"}
local ASSERTED = {pai = "P-Asserted-Identity", ppi = "P-Preferred-Identity", rpid = "Remote-Party-ID"}

-- They may say who a caller is that does not want to be known.
local REVEALING = {
    "Call-Info", "Diversion", "History-Info", "Identity", "In-Reply-To", "Organization", "P-Access-Network-Info", "P-Charge-Info",
    "P-Charging-Function-Addresses", "P-Charging-Vector", "P-Served-User", "Referred-By", "Reply-To", "Server", "Subject", "User-Agent",
}

-- A word of a user becomes part of a URI.
local function word(user) return plain(user, "0-9a-zA-Z*+._-") end
local function user_in(header) return header and (header:match("[sS][iI][pP][sS]?:([^@;>]*)@") or header:match("[tT][eE][lL]:([^;>]+)")) end

-- Whether the PBX asks that nobody learns the number, in any of the usual forms.
local function is_withheld()
    local privacy = (get("$(hdr(Privacy)[*])") or ""):lower()
    for token in privacy:gmatch("[a-z]+") do
        if token == "id" or token == "user" or token == "header" or token == "session" then return true end
    end
    if (get("$fU") or ""):lower() == "anonymous" or (get("$fd") or ""):lower():find("anonymous%.invalid$") then return true end
    local party = (get("$hdr(Remote-Party-ID)") or ""):lower():match(";%s*privacy%s*=%s*\"?(%a+)")
    return party ~= nil and party ~= "off" and party ~= "none"
end

-- The number, for a carrier that is trusted with it.
local function identity_of()
    for _, name in ipairs(IDENTITIES) do
        local user = word(user_in(get("$hdr(" .. name .. ")")))
        if user ~= "" and user:lower() ~= "anonymous" then return user end
    end
    local user = word(get("$fU"))
    return user:lower() ~= "anonymous" and user or ""
end

-- The host of From is the trunk's domain, or ours; its user is the trunk's, or the caller's own number.
local function host_of(trunk) return trunk.from_domain ~= "" and trunk.from_domain or plan.address end
local function shown_uri(trunk, withheld, from)
    if withheld or not trunk then return "sip:anonymous@anonymous.invalid" end
    local user = trunk.from_user ~= "" and trunk.from_user or trunk.caller_id ~= "" and trunk.caller_id or word(from)
    return "sip:" .. (user ~= "" and user .. "@" or "") .. host_of(trunk)
end

-- On a pair, uac stores the original From in Record-Route, where the carrier can decode it. A hidden caller's From is therefore replaced here;
-- restore_from puts the original back into responses. Within a call, Route says that the caller is hidden.
local function replace_from(uri)
    local tag = get("$ft") -- none of a PBX that follows RFC 2543
    KSR.hdr.rmappend("From", "From: <" .. uri .. ">" .. (tag and ";tag=" .. tag or "") .. "\r\n")
end
local function restore_from()
    local from = recall("replaced") and get("$T_req($hdr(From))")
    if from then KSR.hdr.rmappend("From", "From: " .. from .. "\r\n") end
end

-- Contact keeps the address, and loses all that names the caller.
local function hide_contact()
    local contact = get("$hdr(Contact)")
    local uri = contact and (contact:match("<([^>]+)>") or contact:match("^([^;,]+)"))
    if uri then KSR.hdr.rmappend("Contact", "Contact: <" .. uri:gsub("^(%a+:)[^@]*@", "%1") .. ">\r\n") end
end

-- Whether this call through this trunk shows another caller than the PBX says, or none.
local function is_hidden(call, trunk) return call.withheld or trunk.caller_id ~= "" or trunk.from_user ~= "" end

local function conceal(hidden, withheld)
    for _, name in ipairs(IDENTITIES) do KSR.hdr.remove(name) end
    if hidden then hide_contact() end
    if withheld then
        for _, name in ipairs(REVEALING) do KSR.hdr.remove(name) end
    end
end

-- Who calls, as the trunk's settings say. In a branch: the next trunk may be told otherwise.
local function show_caller(call, trunk)
    local host, shown, hidden = host_of(trunk), shown_uri(trunk, call.withheld, call.from), is_hidden(call, trunk)
    keep("replaced", shared and hidden and 1 or nil)
    if shared and hidden then replace_from(shown) else KSR.uac.uac_replace_from("", shown) end
    conceal(hidden, call.withheld)
    if call.withheld then
        local tokens = {"id"}
        for token in (get("$(hdr(Privacy)[*])") or ""):lower():gmatch("[a-z]+") do
            if token ~= "id" and token ~= "none" then tokens[#tokens + 1] = token end
        end
        KSR.hdr.remove("Privacy")
        KSR.hdr.append("Privacy: " .. table.concat(tokens, ";") .. "\r\n")
    end
    local number = trunk.caller_id ~= "" and trunk.caller_id or call.identity
    if ASSERTED[trunk.asserted] and number ~= "" then
        local more = trunk.asserted == "rpid" and ";party=calling;screen=yes;privacy=" .. (call.withheld and "full" or "off") or ""
        KSR.hdr.append(ASSERTED[trunk.asserted] .. ": <sip:" .. number:gsub("#", "%%23") .. "@" .. host .. ">" .. more .. "\r\n")
    end
end

-- --- a Contact that leads nowhere ---

-- Behind a NAT that it does not know, a carrier names an address that only its own network has. The PBX sees where the message came from beside it, in a
-- parameter of ours, and hands that back in each request of the call; so neither a restart nor the other SBC need know of it.
local NOWHERE = {"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}

local function leads_nowhere(host)
    if KSR.ipops.is_ip(host) <= 0 then return false end
    for _, network in ipairs(NOWHERE) do
        if KSR.ipops.is_in_subnet(host, network) > 0 then return true end
    end
end

local function alias_contact()
    local contact, source = get("$hdr(Contact)"), get("$si")
    local uri = contact and (contact:match("<([^>]+)>") or contact:match("^([^;,]+)"))
    local host = uri and (uri:match("@([^:;?]+)") or uri:match("^%a+:([^:;?]+)"))
    if not host or host == source or not leads_nowhere(host) or leads_nowhere(source) then return end
    local first = (get("$hdr(Record-Route)") or ""):match("<sips?:([^:;>]+)")
    if first and first ~= plan.address and first ~= plan.internal then return end -- its own proxy is asked first, and knows where
    local from = ";alias=" .. source .. "~" .. KSR.pv.get("$sp") .. "~" .. KSR.pv.get("$proto")
    KSR.hdr.rmappend("Contact", "Contact: <" .. uri:gsub("%?.*$", "") .. from .. ">\r\n")
end

-- A request of a PBX goes there, and the carrier sees the URI that it wrote.
local function follow_alias()
    local uri = get("$ru") or ""
    local address, port, transport = uri:match(";alias=([%d.]+)~(%d+)~(%a+)")
    if not address then return end
    KSR.pv.sets("$ru", (uri:gsub(";alias=[%d.]+~%d+~%a+", "")))
    if not get("$du") then KSR.pv.sets("$du", "sip:" .. address .. ":" .. port .. ";transport=" .. transport) end
end

-- --- CSeq ---

-- Each signed request took a CSeq of its own, and whatever follows it towards the carrier counts on from there; an answer has the caller's again
-- (recount). The transaction keeps the request as it was sent, so its ACK and CANCEL have the right one. Route says how many stood between the two when
-- the call was answered, which outlives a restart; the table `counts` how many have come since.
local function count_on(count, of_invite)
    if count == 0 then return end
    KSR.hdr.rmappend("CSeq", "CSeq: " .. math.floor(tonumber(KSR.pv.get("$cs")) + count) .. " " .. KSR.pv.get("$rm") .. "\r\n")
    local number, cseq, method = (get("$hdr(RAck)") or ""):match("^(%d+)%s+(%d+)%s+(%a+)") -- of PRACK: it names the INVITE's
    if number then KSR.hdr.rmappend("RAck", "RAck: " .. number .. " " .. math.floor(tonumber(cseq) + of_invite) .. " " .. method .. "\r\n") end
end

local function counted_since(call_id) return tonumber(KSR.htable.sht_get("counts", call_id)) or 0 end

-- What Route, or Record-Route, says of a call: how many, whether the caller is hidden, the trunk.
local function noted_in(header) return (header or ""):match(";st=(%d+)(h?w?)%.([a-z0-9-]+)") end
local function note_in_route(count, trunk, hidden, withheld)
    KSR.rr.add_rr_param(";st=" .. math.floor(count) .. (hidden and "h" or "") .. (withheld and "w" or "") .. "." .. trunk)
end

-- --- digest (RFC 3261 section 22, RFC 8760) ---

local HASHES = {["MD5"] = "md5", ["SHA-256"] = "sha256"}
local CHALLENGES = {{"WWW-Authenticate", "Authorization"}, {"Proxy-Authenticate", "Proxy-Authorization"}}

local function hashed(algorithm, ...)
    KSR.pv.sets("$var(siptrunk_digest)", table.concat({...}, ":"))
    local hash = KSR.pv.get("$(var(siptrunk_digest){s." .. HASHES[algorithm] .. "})")
    KSR.pv.sets("$var(siptrunk_digest)", "-")
    return hash
end

-- A challenge that can be answered, or nil. It is the carrier's text, and becomes part of ours: no control character passes.
local function challenge_in(header, value)
    local rest, given = value:gsub("%c", " "):match("^%s*[Dd][Ii][Gg][Ee][Ss][Tt]%s+(.*)$"), {}
    while rest do
        local name, after = rest:match("^[%s,]*([%w_-]+)%s*=%s*(.*)$")
        if not name then break end
        local item, more = after:match('^"([^"]*)"(.*)$')
        if not item then item, more = after:match("^([^%s,\"]*)(.*)$") end
        given[name:lower()], rest = given[name:lower()] or item, more
    end
    local base = (given.algorithm or "MD5"):upper():gsub("%-SESS$", "")
    if not given.realm or not given.nonce or not HASHES[base] then return nil end
    local qop = given.qop and (" " .. given.qop:lower() .. " "):find("[ ,]auth[ ,]") and "auth"
    if given.qop and not qop then return nil end -- auth-int alone
    return {header = header, realm = given.realm, nonce = given.nonce, opaque = given.opaque, algorithm = given.algorithm, base = base, qop = qop, count = 0}
end

-- Takes up what the answer at hand asks for; false where nothing new can be answered. Each realm wants credentials of its own (section 22.3); one that
-- asks again did not like them.
local function take_up(trunk)
    if not trunk or not trunk.login.user then return false end
    local known, fresh = read(recall("digest")) or {}, {}
    for _, pair in ipairs(CHALLENGES) do
        for index = 0, 7 do
            local value = get("$T_rpl($(hdr(" .. pair[1] .. ")[" .. index .. "]))")
            if not value then break end
            local one = challenge_in(pair[2], value)
            if one and (trunk.login.realm == "" or trunk.login.realm == one.realm) then
                for _, before in ipairs(known) do
                    if before.header == one.header and before.realm == one.realm then return false end
                end
                local place = one.header .. one.realm
                if not fresh[place] then fresh[place], fresh[#fresh + 1] = true, one end -- the topmost that we know (RFC 8760 section 2.4)
            end
        end
    end
    for _, one in ipairs(fresh) do known[#known + 1] = one end
    if #fresh > 0 then keep("digest", literal(known)) end
    return #fresh > 0
end

local function quoted(value) return '"' .. value:gsub('[\\"]', "\\%0") .. '"' end

-- The headers that answer all that was taken up, for the request as it leaves now.
local function credentials(trunk, uri)
    local list = read(recall("digest"))
    if not list or not trunk then return end
    local user, password, method = trunk.login.user, secrets[trunk.name], KSR.pv.get("$rm")
    for _, one in ipairs(list) do
        one.count = one.count + 1
        local nc, cnonce = string.format("%08x", one.count), string.format("%08x%08x", random(0, 0x7fffffff), random(0, 0x7fffffff))
        local secret = hashed(one.base, user, one.realm, password)
        local session = (one.algorithm or ""):upper():find("%-SESS$")
        if session then secret = hashed(one.base, secret, one.nonce, cnonce) end
        local request, response = hashed(one.base, method, uri), nil
        if one.qop then
            response = hashed(one.base, secret, one.nonce, nc, cnonce, one.qop, request)
        else
            response = hashed(one.base, secret, one.nonce, request)
        end
        KSR.hdr.append(one.header .. ": Digest username=" .. quoted(user) .. ', realm="' .. one.realm .. '", nonce="' .. one.nonce .. '", uri="' .. uri
            .. '", response="' .. response .. '"' .. (one.algorithm and ", algorithm=" .. one.algorithm or "")
            .. (one.opaque and ', opaque="' .. one.opaque .. '"' or "")
            .. ((one.qop or session) and ', cnonce="' .. cnonce .. '"' or "") .. (one.qop and ", qop=" .. one.qop .. ", nc=" .. nc or "") .. "\r\n")
    end
    keep("digest", literal(list))
end

-- --- media ---

-- With a relay (rtpengine) the sound passes here too, and each side is told of our address. It is there or not from Kamailio's start on, whatever the
-- plan says. A session is known by the Call-ID: one at a time, made anew for each attempt.
local MEDIA = "ICE=remove replace-origin "
local OUTWARD, INWARD = MEDIA .. "direction=inside direction=outside", MEDIA .. "direction=outside direction=inside"

local WITH_SDP = {INVITE = true, ACK = true, PRACK = true, UPDATE = true}

-- The SDP of a message becomes ours; false where it cannot. One that has none (yet) is as it should be.
local function relay(direction)
    if not KSR.rtpengine or recall("trial_call") or not WITH_SDP[KSR.pv.get("$rm")] or not (get("$rb") or ""):find("m=%l+ %d") then return true end
    keep("relayed", 1)
    return KSR.rtpengine.rtpengine_manage(direction) > 0
end

local function end_relay()
    if not KSR.rtpengine or not recall("relayed") then return end
    keep("relayed")
    KSR.rtpengine.rtpengine_delete("")
end

-- The call is over, by the BYE that is at hand: what passed between us and the carrier, whose tag that is. The relay keeps no more that
-- would be true of this leg alone.
local function close_relay(tag)
    if not KSR.rtpengine or KSR.pv.get("$rm") ~= "BYE" then return end
    local told = KSR.rtpengine.rtpengine_query_v("j", "$var(siptrunk_media)") > 0 and get("$var(siptrunk_media)") or ""
    local _from, at = told:find('"' .. tag .. '":{"tag":', 1, true)
    KSR.rtpengine.rtpengine_delete("")
    if not at then return end
    return object({"rx_packets", told:match('"stats":{"packets":(%d+)', at) or "null"}, {"rx_lost", "null"}, {"rx_jitter_ms", "null"},
        {"tx_packets", told:match('"stats_out":{"packets":(%d+)', at) or "null"}, {"tx_lost", "null"}, {"tx_jitter_ms", "null"}, {"rtt_ms", "null"})
end

-- Answers have the direction of what they answer.
function ksr_media_reply()
    local code = tonumber(KSR.pv.get("$rs"))
    restore_from()
    if code > 100 and code < 300 then relay(MEDIA) end
    if recall("inward") then -- a PBX's answer
        conceal(recall("hidden"), recall("withheld"))
    elseif code > 100 and code < 300 then
        alias_contact()
    end
    return 1
end

-- Without it nobody would hear anything: whoever calls is to ask another SBC.
local function is_mute()
    if not KSR.rtpengine then return false end
    KSR.jsonrpcs.exec('{"jsonrpc":"2.0","method":"rtpengine.show","params":["all"],"id":1}')
    return not (get("$jsonrpl(body)") or ""):find('"active":%s*true')
end

-- --- the hunt ---

-- tm looks at its timers 16 times a second, and may do so just before: no bound is to be shorter than the plan says.
local function bound(ms) return math.floor(math.max(0, ms)) + 63 end

local function target_of(call)
    local route = plan.routes[call.route]
    local trunk = route and route.plan[call.trunk]
    for _, group in ipairs(trunk and trunk.targets or {}) do
        for _, target in ipairs(group) do
            if target.id == call.target then return route, trunk, target end
        end
    end
end

local function uri_of(call, target) return "sip:" .. call.callee:gsub("#", "%%23") .. "@" .. target.authority end

-- The end of a call that nobody answered. A caller who has hung up has been told so.
local function finish(call, result)
    leave(call)
    call.result, call.pdd = result, recall("pdd")
    save(call)
    if result ~= "cancelled" then
        local code, reason = (call.told or plan.none_left):match("^(%d+) (.*)$")
        if ASKS[code] and call.asks then KSR.hdr.append_to_reply(call.asks) end
        KSR.tm.t_reply(tonumber(code), reason)
    end
    -- where the address has left he heard nothing, and asks the other SBC, whose call it is then
    if not within_request or is_here() then write(call) end
    forget_ours(call)
end

local function send(call, trunk, target)
    KSR.pv.sets("$ru", uri_of(call, target))
    KSR.pv.sets("$du", target.uri)
    if trunk.transport == "tls" then KSR.pv.sets("$xavp(tls=>server_name)", target.host) end
    local left = target.bounds.progress.effective * 1000 - (now() - call.asked_at) -- signed, it is the same attempt still
    KSR.tm.t_set_fr(bound(left), bound(math.min(left, target.bounds.silence.effective * 1000)))
    KSR.tm.t_on_branch("ksr_branch")
    KSR.tm.t_on_reply("ksr_reply")
    KSR.tm.t_on_failure("ksr_failure")
    local sent = KSR.tm.t_relay()
    return type(sent) == "number" and sent > 0
end

-- Of these the trunk is passed over, not a target of it, and it is not asked after all.
local OF_TRUNK = {drained = true, full = true}

-- Why a target is not asked now; nil: it is.
local function obstacle(call, route, trunk, target)
    if not route.emergency then
        if drained(trunk.name) then return "drained" end
        local why = not call.after and unwell(trunk, target)
        if why then return why end
    end
    if call.at ~= trunk.name then return enter(call, trunk, route.emergency) end
end

local function may_be_asked(call, route)
    local asked = call.asked[call.trunk]
    if call.left[call.trunk] then return false end
    return asked and asked < route.max_targets or not asked and call.trunks_asked < route.max_attempts
end

-- The caller waits from now on, and sends the call no more.
local function trying() KSR.tm.t_reply(100, "Trying") end

-- The address has left while we were at it: nothing of the call is ours any more.
local function hand_over(call)
    leave(call)
    forget_ours(call)
    KSR.tm.t_reply(503, "Address Gone")
end

-- Whether that is all for now: the request left, or the call is no more.
local function ask(call, route, trunk, target)
    if not call.asked[call.trunk] then call.trunks_asked = call.trunks_asked + 1 end
    call.asked[call.trunk] = (call.asked[call.trunk] or 0) + 1
    call.last_trunk, call.last_target, call.asked_at = call.trunk, target.address .. ":" .. target.port, now()
    call.callee = trunk.digits.prepend .. call.number:sub(trunk.digits.strip + 1)
    keep("rang")
    keep("digest")
    save(call)
    if within_request and not is_here() then
        hand_over(call)
        return true
    end
    share(call)
    if send(call, trunk, target) then
        if within_request then trying() end
        return true
    end
    if KSR.tm.t_is_canceled() > 0 then -- meanwhile: that is why it did not leave
        finish(call, "cancelled")
        KSR.tm.t_reply(487, "Request Terminated")
        return true
    end
    call.behind = read(recall("siptrunk")).behind
    local here = is_here()
    if not here and within_request then
        hand_over(call)
        return true
    end
    if recall("mute") then return false end
    note(call, "unreachable", nil, "", "next_target")
    if here then cool(target, route.cool_down) end
end

-- Asks the next target; tells the caller when nobody is left.
local function hunt(call)
    local route = plan.routes[call.route]
    while route and (#call.list > 0 or #call.after_all > 0) do
        if #call.list == 0 then call.list, call.after_all, call.after = call.after_all, {}, true end -- a mark never fails a call
        local next = table.remove(call.list, 1)
        call.trunk, call.target = next[1], next[2]
        local _route, trunk, target = target_of(call)
        if target and may_be_asked(call, route) then -- no target: the plan has changed meanwhile
            local why = obstacle(call, route, trunk, target)
            if not why then
                if ask(call, route, trunk, target) then return end
                if recall("mute") then
                    call.told = "503 No Media"
                    break
                end
            else
                local place = not OF_TRUNK[why] and target.address .. ":" .. target.port
                call.passed[#call.passed + 1] = object({"trunk", text(call.trunk)}, {"target", text(place or nil)}, {"why", text(why)})
                if place then call.after_all[#call.after_all + 1] = next else call.left[call.trunk] = true end
            end
        end
    end
    finish(call, "failed")
end

local function set_out(route, number)
    local call = {
        route = route, number = number, from = get("$fU") or "", call = get("$ci"), began = now(), list = {}, after_all = {}, asked = {}, left = {},
        calls_from = get("$fu"), calls_to = get("$tu"), places = {}, behind = {}, trunks_asked = 0, attempts = {}, passed = {},
        last_trunk = "", last_target = "", withheld = is_withheld() or nil, identity = identity_of(),
        contact = (get("$hdr(Contact)") or ""):match("[sS][iI][pP][sS]?:([^@;>]*)@"),
    }
    local found = plan.routes[route]
    for _, member in ipairs(in_order(found.trunks)) do
        for _, target in ipairs(in_order(found.plan[member.name].targets)) do call.list[#call.list + 1] = {member.name, target.id} end
    end
    within_request = true
    hunt(call)
end

-- Behind NAT, carriers know us by one address, which Kamailio gives everybody, and the PBXs by another.
local function to_inside()
    if plan.internal then KSR.set_advertised_address(plan.internal) end
end

-- A branch of the transaction, as its number stands at the end of a Via's branch, and the transaction's own number in front.
local function branch_key(call_id, index, number) return call_id .. "|" .. index .. "|" .. number end

-- Whatever still comes of the attempt that is under way has come too late.
local function abandon(branch) KSR.htable.sht_seti("gone", branch_key(get("$ci"), get("$T(id_index)"), branch), 1) end

-- Over TLS: who is to answer this branch (ksr_reply_route).
local function expect(trunk, target, uri)
    KSR.htable.sht_sets("expects", branch_key(get("$ci"), get("$T(id_index)"), recall("branch")), trunk.name .. " " .. target.id .. " " .. uri)
end

function ksr_branch()
    keep("branch", KSR.tm.t_get_branch_index())
    local call = read(recall("siptrunk"))
    local _route, trunk, target = target_of(call)
    if not trunk then return 1 end
    if #call.behind > 0 then
        give_back(call)
        save(call)
    end
    if not relay(OUTWARD) then
        keep("mute", 1)
        KSR.x.drop()
        return 1
    end
    show_caller(call, trunk)
    KSR.uac.uac_replace_to("", uri_of(call, target))
    count_on(call.signed or 0, 0) -- for the whole call: the next trunk's requests are of the same
    note_in_route(call.signed or 0, trunk.name, is_hidden(call, trunk), call.withheld)
    credentials(trunk, uri_of(call, target))
    if trunk.transport == "tls" then expect(trunk, target, uri_of(call, target)) end
    return 1
end

local function answered(call, at)
    call.pdd, call.result, call.answered_at = recall("pdd"), "answered", at or now()
    call.ms = note(call, "200", 200, "OK", "final")
    if shared then share(call) else KSR.dialog.var_sets("siptrunk", literal(call)) end
    tell("SiptrunkAnswered", object({"Route", text(call.route)}, {"Trunk", text(call.last_trunk)}, {"Target", text(call.last_target)}, {"Ms", call.ms},
        {"Call", text(call.call)}))
end

function ksr_reply()
    local code = tonumber(KSR.pv.get("$rs"))
    local call = read(recall("siptrunk"))
    if not call or code == 100 or code >= 300 then return 1 end
    if tostring(KSR.tm.t_get_branch_index()) ~= recall("branch") then -- one that was given up
        if code < 200 then
            KSR.tmx.t_cancel_branches("this")
            KSR.x.drop()
        end
        return 1
    end
    if not recall("pdd") then keep("pdd", now() - call.began) end
    if code < 200 then
        local _route, _trunk, target = target_of(call)
        if not recall("rang") then keep("rang", code) end
        local left = (target and target.bounds.ring.effective or 60) * 1000 - (now() - call.asked_at)
        KSR.tm.t_set_fr(bound(left), 0)
    elseif not recall("answered") then
        keep("answered", now())
        answered(call)
    end
    relay(MEDIA)
    restore_from()
    alias_contact()
    return 1
end

-- Whether somebody else answered than who was asked (disown).
local function disowned() return KSR.htable.sht_get("gone", branch_key(get("$ci"), get("$T(id_index)"), recall("branch"))) ~= nil end

-- What became of an attempt without an answer: the outcome (a SIP code or a name), the code for the record, the reason.
local function outcome_of(rang)
    if KSR.tm.t_branch_timeout() > 0 then
        if rang then return "rang_out", rang, "" end
        if KSR.tm.t_branch_replied() > 0 then return "no_progress", 100, "Trying" end
        return "silent", nil, ""
    end
    if disowned() then return "unreachable", nil, "another certificate" end
    if KSR.pv.get("$T_rpl($mb)") == nil then return "unreachable", nil, "" end -- tm made the answer up
    local code = KSR.tm.t_get_status_code()
    return tostring(code), code, plain(get("$T_reply_reason"), "a-zA-Z0-9 .,")
end

-- Sends the request again with credentials, if that is what the target wants, and it did not have them.
local function sign(call, trunk, target, code)
    if code ~= 401 and code ~= 407 or not take_up(trunk) then return false end
    call.signed = (call.signed or 0) + 1
    save(call)
    share(call)
    return send(call, trunk, target)
end

-- Whether the caller can send it as the answer at hand wants: then no other trunk is tried before it does. It has named what 420 refuses, and the
-- session interval that is too small for 422 (RFC 4028); of an extension it says whether it has it.
local function can_be_met(outcome)
    local function asked(name) return get("$T_rpl($hdr(" .. name .. "))") end
    if outcome == "420" then return asked("Unsupported") and (get("$hdr(Require)") or get("$hdr(Proxy-Require)")) ~= nil end
    if outcome == "422" then return asked("Min-SE") and (get("$hdr(Session-Expires)") or get("$hdr(x)")) ~= nil end
    local wanted = outcome == "421" and asked("Require") or outcome == "494" and asked("Security-Server") and "sec-agree"
    if not wanted then return false end
    local has = {}
    for _, name in ipairs({"$(hdr(Supported)[*])", "$(hdr(k)[*])"}) do
        for tag in (get(name) or ""):lower():gmatch("[^%s,]+") do has[tag] = true end
    end
    for tag in wanted:lower():gmatch("[^%s,]+") do
        if not has[tag] then return false end
    end
    return true
end

-- The headers of the answer at hand that say how it is to be sent.
local function asks()
    local lines = {}
    for _, name in ipairs(ASKED_BY) do
        for index = 0, 7 do
            local value = get("$T_rpl($(hdr(" .. name .. ")[" .. index .. "]))")
            if not value then break end
            lines[#lines + 1] = name .. ": " .. value:gsub("%c", " ") .. "\r\n"
        end
    end
    return table.concat(lines)
end

local function verdict_on(route, target, outcome)
    return route.verdicts[target.verdicts][outcome] or route.verdicts[target.verdicts][outcome:sub(1, 1) .. "XX"]
end

-- Usually a person's word: a trunk may change its verdict, but not after the phone rang.
local function spoken(outcome) return outcome == "486" or outcome:find("^6") and outcome ~= "604" and outcome ~= "606" end

-- The seconds that a 503 asks for (RFC 3261 section 21.5.4).
local function rest(retry_after) return math.min(tonumber((retry_after or ""):match("^%s*(%d+)")) or 0, RETRY_AFTER_MOST) end

function ksr_failure()
    within_request = false
    local call = read(recall("siptrunk"))
    if not call or recall("answered") or call.result then return 1 end
    if is_elsewhere(call) then
        KSR.tm.t_reply(487, "Request Terminated")
        return 1
    end
    local branch, rang = recall("branch"), recall("rang")
    if KSR.tm.t_is_canceled() > 0 then
        end_relay()
        abandon(branch)
        note(call, "487", 487, "the caller hung up", "final")
        finish(call, "cancelled")
        return 1
    end
    local route, trunk, target = target_of(call)
    if not target then -- the plan has changed meanwhile
        end_relay()
        finish(call, "failed")
        return 1
    end
    local outcome, code, reason = outcome_of(rang)
    if sign(call, trunk, target, code) then return 1 end
    end_relay()
    local verdict = verdict_on(route, target, outcome)
    local met = ASKS[outcome] and verdict == "next_trunk" and can_be_met(outcome)
    if met then verdict = "final" end
    if rang and (not route.hunt_after_ringing or spoken(outcome)) then verdict = "final" end
    note(call, outcome, code, reason, verdict)
    if outcome == "silent" or outcome == "unreachable" then
        cool(target, route.cool_down)
    elseif outcome == "503" or verdict == "full" then
        cool(target, rest(get("$T_rpl($hdr(Retry-After))")))
    end
    if KSR.tm.t_branch_timeout() > 0 then abandon(branch) end
    call.told = verdict ~= "full" and TOLD[outcome] or call.told
    if ASKS[outcome] and (met or not call.told) then call.told, call.asks = ASKS[outcome], asks() end
    if verdict ~= "next_target" then call.left[call.trunk] = true end
    if verdict == "final" then finish(call, "failed") else hunt(call) end
    return 1
end

-- Takes an answered call out of the table; nil where that has been done. Of two BYEs at once, in two processes, one writes the record.
local function take(call_id)
    KSR.htable.sht_lock("locks", call_id)
    local call = known(call_id)
    if call and call.answered_at then forget(call) else call = nil end
    KSR.htable.sht_unlock("locks", call_id)
    return call
end

-- The call is over: its record, with how long they talked.
local function over(call, quality)
    call.quality = quality
    call.talked = math.floor((now() - call.answered_at) / 1000)
    write(call)
    tell_attempt(call, 200, "200", call.ms, "final")
end

function ksr_dialog_event(name)
    if name ~= "dialog:end" then return 1 end
    local call, quality = nil, close_relay(get("$dlg(to_tag)") or "")
    if shared then call = take(get("$dlg(callid)")) else call = read(get("$dlg_var(siptrunk)")) end
    if call and call.answered_at then over(call, quality) end
    return 1
end

-- The probes of a target began to fail, or to go well.
function ksr_dispatcher_event()
    tell("SiptrunkTarget", object({"Uri", text(get("$ru"))}))
    return 1
end

-- --- who is who ---

local function inside(address)
    for _, network in ipairs(plan.inside) do
        if KSR.ipops.is_in_subnet(address, network) > 0 then return true end
    end
end

local function trunk_of(address)
    for _, trunk in ipairs(plan.inbound) do
        for _, network in ipairs(trunk.from) do
            if KSR.ipops.is_in_subnet(address, network) > 0 then return trunk end
        end
    end
end

-- --- answers to what no transaction here asked ---

-- A request of ours to the sender of the answer at hand. $cs is what came in, whatever the caller is going to see (recount).
local function speak(method, uri, via, routes, later)
    local where = "sip:" .. KSR.pv.get("$si") .. ":" .. KSR.pv.get("$sp") .. ";transport=" .. KSR.pv.get("$proto")
    local to = get("$hdr(To)")
    if method == "CANCEL" then to = to:gsub(";%s*tag=[^;]*", "") end
    KSR.corex.send_data(where, method .. " " .. uri .. " SIP/2.0\r\nVia: " .. via .. "\r\nMax-Forwards: 70\r\n" .. routes
        .. "From: " .. get("$hdr(From)") .. "\r\nTo: " .. to .. "\r\nCall-ID: " .. get("$ci") .. "\r\n"
        .. "CSeq: " .. math.floor(tonumber(KSR.pv.get("$cs")) + later) .. " " .. method .. "\r\nContent-Length: 0\r\n\r\n")
end

-- A 200 for an attempt that was given up: the carrier's phone is off its hook, and the proxy is the only one who knows. ACK, and BYE.
local function release()
    local contact = (get("$ct") or ""):match("<([^>]+)>") or (get("$ct") or ""):match("^([^;]+)")
    if not contact then return end
    -- the route set of who stands where we do (RFC 3261 section 12.1.2): what came after us, nearest first
    local routes = {}
    for index = 0, 63 do
        local route = get("$(hdr(Record-Route)[" .. index .. "])")
        local host = (route or ""):match("^<sip:([^:;>]+)")
        if not route or host == plan.address or host == plan.internal then break end
        table.insert(routes, 1, "Route: " .. route .. "\r\n")
    end
    local via = "SIP/2.0/" .. KSR.pv.get("$pr"):upper() .. " " .. plan.address .. ":" .. plan.port .. ";branch=z9hG4bKsiptrunk"
    for number, method in ipairs({"ACK", "BYE"}) do
        speak(method, contact, via .. string.format("%x", random(0, 0x7fffffff)), table.concat(routes), number - 1)
    end
end

-- The other SBC asked, and the address has come here since. Whom else to ask only the caller knows: he is told that we could not.
local function refused(call)
    local route, _trunk, target = target_of(call)
    if not target then return false end -- the plan has changed meanwhile
    speak("ACK", uri_of(call, target), get("$hdr(Via)"):match("^[^,]+"), "", 0) -- RFC 3261 section 17.1.1.3
    local code = tonumber(KSR.pv.get("$rs"))
    local outcome = tostring(code)
    note(call, outcome, code, plain(get("$rr"), "a-zA-Z0-9 .,"), "final")
    if outcome == "503" then cool(target, rest(get("$hdr(Retry-After)"))) end
    call.result = "failed"
    write(call)
    forget(call)
    KSR.dialog.dlg_update_state() -- its place is given back
    local told = TOLD[outcome] or call.told or verdict_on(route, target, outcome) == "final" and plan.none_left or "503 Address Moved"
    KSR.hdr.remove("Retry-After") -- it is the carrier's
    KSR.textopsx.change_reply_status(tonumber(told:sub(1, 3)), told:sub(5))
    return true
end

-- Whether a certificate's name is the one. A wildcard, where the trunk takes one, stands for one label (RFC 6125 section 6.4.3).
local function is_named(shown, name, wildcard)
    return shown == name or wildcard and shown:sub(1, 2) == "*." and shown:sub(2) == name:match("^[^.]+(%..+)$")
end

-- The names that the peer's certificate shows (RFC 5922 section 7.1).
local function shown_names()
    local shown = {}
    for _, kind in ipairs({"hostname", "uri", "ip"}) do
        for index = 0, 63 do
            local name = get("$(tls_peer_san_" .. kind .. "[" .. index .. "])")
            if not name then break end
            if kind == "uri" then name = name:match("^[sS][iI][pP]:([^@;:]+)$") end
            if name then shown[#shown + 1] = name:lower() end
        end
    end
    return shown
end

-- What the peer must prove: {names, wildcard} of the trunk that was asked; of a probe or a registration, those of the trunks that name this carrier at
-- this address. And the URI that an attempt went to.
local function expected(key)
    if KSR.pv.get("$proto") ~= "tls" then return nil end
    local trunk, target, uri = (key and KSR.htable.sht_get("expects", key) or ""):match("^(%S+) (%S+) (%S+)$")
    local of_trunk = trunk and plan.trunks[trunk]
    if of_trunk then return {{names = of_trunk.proves[target] or {}, wildcard = of_trunk.wildcard}}, uri end
    local here, named = plan.tls[get("$si") .. "_" .. get("$sp")], {}
    for _, one in ipairs(here or {}) do
        if one.authority == (get("$td") or ""):lower() then named[#named + 1] = one end
    end
    return #named > 0 and named or here
end

local function is_proved(wanted, key)
    local shown = shown_names()
    for _, one in ipairs(wanted) do
        for _, name in ipairs(one.names) do
            for _, other in ipairs(shown) do
                if is_named(other, name, one.wildcard) then return true end
            end
        end
    end
    if key and KSR.htable.sht_get("gone", key) ~= nil then return false end -- said already
    local names = {}
    for _, one in ipairs(wanted) do names[#names + 1] = table.concat(one.names, " or ") end
    log("TLS: " .. get("$si") .. " is to be " .. table.concat(names, ", or ") .. ", and its certificate is for " .. table.concat(shown, ", "))
    return false
end

-- An answer to an INVITE, from somebody else than who was asked. Its chain is good, or there would be no connection; the name can be looked at only now:
-- the event that is for it, tls:connection-out, never runs (kamailio 6.1, issue 4827). The request is gone, and whoever has it ends it: CANCEL, or ACK and
-- BYE. tm sees 503 instead, so the hunt goes on at once. Whether tm is to see the message.
local function disown(code, key, uri)
    local before = KSR.htable.sht_get("gone", key)
    KSR.htable.sht_seti("gone", key, 1)
    if code >= 200 and code < 300 then
        release()
    elseif code < 200 and before == nil then
        speak("CANCEL", uri, (get("$hdr(Via)"):match("^[^,]+"):gsub(";received=[^;]*", ""):gsub(";rport=[^;]*", ";rport")), "", 0)
    end
    if before ~= nil then return code >= 300 end -- it is acknowledged, and no more
    return KSR.textopsx.msg_set_buffer((KSR.pv.get("$mb"):gsub("^SIP/2%.0 %d%d%d[^\r\n]*", "SIP/2.0 503 Another Certificate", 1))) > 0
end

-- The key of `gone` and `expects` of the branch that an answer belongs to; nil where it is none of ours.
local function branch_answered()
    local branch = (KSR.pv.get("$hdr(Via)") or ""):match("branch=z9hG4bK([^;, ]+)") or ""
    local index, number = branch:match("^(%x+)%."), branch:match("%.(%x+)$")
    return index and number and branch_key(get("$ci"), tonumber(index:reverse(), 16), tonumber(number:reverse(), 16))
end

-- The caller sees its own CSeq in an answer to a signed request. Without the transaction, Record-Route of the answer says how many were in between, or
-- what is known of the call.
local function recount(ours)
    local theirs, method, callers = tonumber(KSR.pv.get("$cs")), KSR.pv.get("$rm"), nil
    if method == "CANCEL" then return end
    if ours then
        callers = tonumber(get("$T_req($cs)"))
    else
        local count
        for index = 0, 63 do
            local route = get("$(hdr(Record-Route)[" .. index .. "])")
            count = noted_in(route)
            if count or not route then break end
        end
        local call = not count and shared and known(get("$ci"))
        callers = theirs - (tonumber(count) or call and call.signed or 0) - counted_since(get("$ci"))
    end
    if callers and callers < theirs and callers >= 0 then KSR.hdr.rmappend("CSeq", "CSeq: " .. math.floor(callers) .. " " .. method .. "\r\n") end
end

function ksr_reply_route()
    local code, source, ours = tonumber(KSR.pv.get("$rs")), KSR.pv.get("$si"), KSR.tm.t_check_trans() >= 0
    local of_invite, key = KSR.pv.get("$rm") == "INVITE", branch_answered()
    local wanted, uri = expected(key)
    if wanted and not is_proved(wanted, key) then
        if not (uri and ours and of_invite and disown(code, key, uri)) then KSR.x.drop() end
        return 1
    end
    if not ours and not (source == plan.own or inside(source) or trunk_of(source)) then -- a stranger's Via would lead it anywhere
        KSR.x.drop()
        return 1
    end
    if is_late() then
        KSR.x.drop()
        return 1
    end
    recount(ours)
    -- the other SBC asked, and has failed since, or has lost the address; the answer finds its way by Via
    local call = not ours and of_invite and shared and known(get("$ci"))
    if call and call.calls_from and call.calls_to then -- as the caller wrote them
        KSR.pv.sets("$fu", call.calls_from)
        KSR.pv.sets("$tu", call.calls_to)
    end
    if call and (call.answered_at or call.by == us()) then call = nil end
    if code < 200 or code >= 300 then
        -- Kamailio would hand the caller an answer that belongs to nothing any more, such as one that comes again.
        local passes = ours or call and code > 100 and source .. ":" .. KSR.pv.get("$sp") == call.last_target and (code < 200 or refused(call))
        if not passes then KSR.x.drop() end
        return 1
    end
    if not of_invite then return 1 end
    if not key then return 1 end
    if KSR.htable.sht_get("gone", key) ~= nil then
        release()
        KSR.x.drop()
        return 1
    end
    if call then
        -- what dialog takes to be ringing it ends by a BYE after an ACK alone, which may be lost as the address moves
        local rings = KSR.dialog.dlg_get(get("$ci"), get("$ft"), get("$tt")) > 0 and tonumber(get("$dlg(state)")) == 2
        if rings then KSR.dialog.dlg_set_state("unconfirmed") end
        answered(call)
    elseif shared and not ours and not known(get("$ci")) then -- the other SBC's word of it may come yet
        KSR.htable.sht_sets("heard", get("$ci"), string.format("%d", now()))
    end
    return 1
end

-- --- who may do what ---

-- The digits of a user part; a URI may write any of them as %XX.
local function dialled(user) return unescaped(user or "") end

-- Of a call that we do not know, as we were restarted: what ends it, and its tones. Nothing else gets anywhere by a Route of its own.
local OF_ANY_CALL = {ACK = true, BYE = true, INFO = true}

local function refuse(code, reason)
    if not KSR.is_ACK() then KSR.sl.sl_send_reply(code, reason) end
end

-- What comes from outside goes inside, wherever its Route leads.
local function leads_inside()
    local host = get("$nh(d)")
    return host and KSR.ipops.is_ip(host) > 0 and inside(host)
end

-- The dialog of a call, as JSON; empty without one. Looked up by RPC: who has got a dialog by its tags lets loose_route change nothing of it.
local function dialog_of(call)
    KSR.jsonrpcs.exec('{"jsonrpc":"2.0","method":"dlg.dlg_list","params":[' .. text(call.call) .. '],"id":1}')
    return get("$jsonrpl(body)") or ""
end

-- Whether that address is a target of the trunk.
local function speaks_for(name, address)
    for _, known in ipairs((plan.trunks[name] or {addresses = {}}).addresses) do
        if known == address then return true end
    end
end

-- From within a call: uac makes it as it was in the INVITE, by the dialog; or, of a pair, by Record-Route, which has the URI alone and not the name, and
-- nothing of a hidden caller. After a restart there is no dialog, and a hidden caller stays hidden all the same.
local function hide_from(trunk)
    local replaced = recall("hidden") and (shared or not recall("dialog"))
    keep("replaced", replaced and 1 or nil)
    if replaced then
        replace_from(shown_uri(trunk, recall("withheld"), ""))
    elseif shared then
        KSR.textops.replace("^(From|f)[ \t]*:[^<\r\n]*<", "From: <")
    end
end

-- Of a request within a call: which trunk it is of, what the carrier may learn of the caller, how far the CSeqs are apart. Before a BYE ends what is known.
local function look_up(call, dialog, of_ours)
    local stated = call or dialog and read(get("$dlg_var(siptrunk)"))
    local count, marks, name = noted_in(get("$hdr(Route)"))
    local sure = stated and stated.last_trunk or dialog and get("$dlg_var(trunk)")
    name = sure or name
    keep("carrier", name)
    keep("sure", sure and 1 or nil)
    keep("dialog", dialog and 1 or nil)
    keep("hidden", stated and plan.trunks[name] and is_hidden(stated, plan.trunks[name]) and 1 or (marks or ""):match("h"))
    keep("withheld", stated and stated.withheld and 1 or (marks or ""):match("w"))
    if of_ours then
        keep("count", math.floor((tonumber(count) or stated and stated.signed or 0) + counted_since(get("$ci"))))
        keep("count_before", recall("count")) -- this request is signed
        if KSR.is_BYE() and counted_since(get("$ci")) > 0 then KSR.htable.sht_rm("counts", get("$ci")) end
    elseif recall("hidden") and stated and stated.contact and not get("$rU") then
        KSR.pv.sets("$rU", stated.contact) -- as the PBX wrote it in its Contact
    end
end

-- A request of a PBX within a call, as the carrier is to see it.
local function to_carrier()
    local trunk = plan.trunks[recall("carrier") or ""]
    count_on(tonumber(recall("count")) or 0, tonumber(recall("count_before")) or 0)
    conceal(recall("hidden"), recall("withheld"))
    hide_from(trunk)
    credentials(trunk, KSR.pv.get("$ru"))
end

function ksr_within_branch()
    to_carrier()
    return 1
end

-- The account is ours, not the PBX's: we sign what the carrier challenges. Without the call's state, as after a restart, only for the trunk's own addresses:
-- the name in Route came back through the carrier.
function ksr_within_failure()
    local code = KSR.tm.t_get_status_code()
    if code ~= 401 and code ~= 407 or KSR.tm.t_is_canceled() > 0 or KSR.tm.t_branch_timeout() > 0 then return 1 end
    local name = recall("carrier")
    if not name or not (recall("sure") or speaks_for(name, get("$T_rpl($si)") or "")) or not take_up(plan.trunks[name]) then return 1 end
    keep("count", math.floor((tonumber(recall("count")) or 0) + 1))
    if KSR.pv.get("$rm") ~= "BYE" then KSR.htable.sht_seti("counts", get("$ci"), math.floor(counted_since(get("$ci")) + 1)) end -- nothing follows a BYE
    KSR.pv.sets("$ru", KSR.pv.get("$ru"))
    if recall("next_hop") then KSR.pv.sets("$du", recall("next_hop")) end
    KSR.tm.t_on_branch("ksr_within_branch")
    KSR.tm.t_on_failure("ksr_within_failure")
    KSR.tm.t_on_reply("ksr_media_reply")
    KSR.tm.t_set_fr(FOR_EVER, IN_DIALOG)
    KSR.tm.t_relay()
    return 1
end

-- A carrier may speak from another address once it has a call. Anybody else is a stranger.
local function within_a_call(of_ours, trunk)
    local call = shared and known(get("$ci")) -- before a BYE ends it
    local heard_at = call and not call.answered_at and tonumber(KSR.htable.sht_get("heard", call.call))
    if KSR.is_BYE() and call and call.by ~= us() then
        local state = dialog_of(call)
        -- an answered call that dialog takes to be ringing, and would let no BYE end: the other SBC's dialog hears of an answer with its ACK, which may
        -- be lost as the address moves
        if (call.answered_at or heard_at) and state:find('"state":%s*[12]%D') then KSR.dialog.dlg_set_state("unconfirmed") end
        -- A call that was answered while this SBC started: what the table held before the answer may come after it, the dialog tells the truth.
        -- It does not know when that was: the call's begin is the nearest that is known.
        if not heard_at and state:find('"state":%s*[34]%D') then heard_at = call.asked_at end
    end
    local routed = KSR.rr.loose_route() > 0
    -- answered here, before the other SBC's word of it came
    local heard = routed and call and not call.answered_at and (of_ours or trunk) and heard_at
    if heard and (KSR.is_ACK() or KSR.is_BYE()) then answered(call, heard) end
    local dialog = routed and KSR.dialog.is_known_dlg() > 0
    -- the other SBC, which gave up waiting for an answer that came here, has ended our dialog with its own
    local ours = dialog or routed and call and call.answered_at and (of_ours or trunk)
    if not of_ours and not trunk and not ours then return refuse(403, "Forbidden") end
    if not routed then
        if not KSR.is_ACK() then return KSR.sl.sl_send_reply(404, "Not Here") end
        if KSR.tm.t_check_trans() > 0 then KSR.tm.t_relay() end
        return
    end
    if not ours and not OF_ANY_CALL[KSR.pv.get("$rm")] then return KSR.sl.sl_send_reply(481, "Call/Transaction Does Not Exist") end
    if not of_ours and not leads_inside() then return refuse(403, "Forbidden") end
    look_up(call, dialog, of_ours)
    if KSR.is_BYE() then
        if ours and call and call.answered_at then
            local quality = close_relay("")
            -- a relay that hangs takes its time, in which the BYE may have come again, to the other SBC
            local left = take(call.call)
            if left then over(left, quality) end
        end
    elseif ours then
        if not relay(of_ours and OUTWARD or INWARD) and not KSR.is_ACK() then return KSR.sl.sl_send_reply(503, "No Media") end
    end
    KSR.tm.t_on_reply("ksr_media_reply")
    if of_ours then follow_alias() end
    if not of_ours then
        to_inside()
        alias_contact()
    elseif KSR.is_ACK() then -- it has no branch
        to_carrier()
    else
        keep("next_hop", get("$du"))
        KSR.tm.t_on_branch("ksr_within_branch")
        KSR.tm.t_on_failure("ksr_within_failure")
    end
    keep("inward", not of_ours and 1 or nil)
    KSR.tm.t_set_fr(FOR_EVER, IN_DIALOG)
    if KSR.tm.t_relay() > 0 and KSR.is_INVITE() then trying() end
end

-- A new call. The dialog comes first: otherwise it does not hear of the transaction, and the other SBC not of the dialog.
local function begin(trunk)
    KSR.hdr.remove("Route") -- it has led here, and would lead a carrier's proxy here again
    if plan.internal and trunk then -- from outside: the first one is for who is asked
        local transport = KSR.pv.get("$proto")
        local external = plan.address .. ":" .. KSR.pv.get("$Rp") .. (transport == "udp" and "" or ";transport=" .. transport)
        KSR.rr.record_route_preset(plan.internal .. ":" .. plan.port .. ";r2=on", external .. ";r2=on")
    else
        KSR.rr.record_route()
    end
    KSR.dialog.dlg_manage()
    KSR.tm.t_newtran()
end

-- From a trunk's own address: to the PBXs, one after the other, and never out again.
function ksr_inbound_branch()
    keep("branch", KSR.tm.t_get_branch_index())
    to_inside()
    alias_contact()
    if not relay(INWARD) then KSR.x.drop() end
    return 1
end

function ksr_inbound_reply()
    local code = tonumber(KSR.pv.get("$rs"))
    if code > 100 and code < 200 then
        keep("rang", code)
        KSR.tm.t_set_fr(QUEUED, 0)
    end
    return ksr_media_reply()
end

local function give(pbx)
    KSR.pv.sets("$ru", "sip:" .. recall("number"):gsub("#", "%%23") .. "@" .. pbx)
    KSR.tm.t_on_branch("ksr_inbound_branch")
    KSR.tm.t_on_reply("ksr_inbound_reply")
    KSR.tm.t_on_failure("ksr_inbound_failure")
    return KSR.tm.t_relay() > 0
end

function ksr_inbound_failure()
    end_relay()
    local canceled = KSR.tm.t_is_canceled() > 0
    if canceled or KSR.tm.t_branch_timeout() > 0 then abandon(recall("branch")) end
    if canceled or recall("rang") then return 1 end -- who rang is not left
    local left = read(recall("pbxs")) or {}
    local code = KSR.tm.t_get_status_code()
    if #left == 0 or not (KSR.tm.t_branch_timeout() > 0 or code >= 500 and code < 600) then return 1 end
    local pbx = table.remove(left, 1)
    keep("pbxs", literal(left))
    give(pbx)
    return 1
end

-- Whose the contact is that registered, where it is called from one of that trunk's targets: it tells accounts at one address apart.
local function registered_trunk(name)
    for _, address in ipairs(name and plan.trunks[name].addresses or {}) do
        if address == KSR.pv.get("$si") then
            for _, trunk in ipairs(plan.inbound) do
                if trunk.name == name then return trunk end
            end
        end
    end
end

local function inbound(trunk)
    local number = dialled(get("$rU"))
    local registered = plan.registrations[number]
    if registered then trunk, number = registered_trunk(registered) or trunk, dialled(get("$tU")) end
    if trunk.context == "" or #plan.pbxs == 0 then return KSR.sl.sl_send_reply(403, "Forbidden") end
    if not number:find("^[0-9*#+]+$") then return KSR.sl.sl_send_reply(484, "Address Incomplete") end
    local pbxs, first = {}, random(1, #plan.pbxs)
    for at = 0, #plan.pbxs - 1 do pbxs[#pbxs + 1] = plan.pbxs[(first + at - 1) % #plan.pbxs + 1] end
    begin(trunk)
    note_in_route(0, trunk.name)
    keep("inward", 1)
    KSR.dialog.var_sets("trunk", trunk.name)
    KSR.dialog.set_dlg_profile("trunk", trunk.name) -- counted, and not limited: it is here already
    KSR.hdr.remove("X-Trunk")
    KSR.hdr.append("X-Trunk: " .. trunk.name .. "\r\n")
    keep("number", number)
    local pbx = table.remove(pbxs, 1)
    keep("pbxs", literal(pbxs))
    KSR.tm.t_set_fr(FOR_EVER, bound(4000))
    if give(pbx) then trying() else KSR.tm.t_reply(503, "Service Unavailable") end
end

-- While it is changed (the role's tasks/take_out.yml): its PBXs ask another one. Who changes it may try whether it works.
-- Behind a floating address they know no other one: until that has gone there, calls are carried.
local function out_of_service() return KSR.pv.get("$si") ~= plan.own and KSR.pv.get("$Ri") == plan.own and exists(plan.out_of_service) end

local function outbound()
    if out_of_service() then return KSR.sl.sl_send_reply(503, "Out Of Service") end
    local number = dialled(get("$rU"))
    if not number:find("^[0-9*#+]+$") then return KSR.sl.sl_send_reply(484, "Address Incomplete") end
    for _, known in ipairs(plan.numbers) do
        if number:find(known.pattern) then
            KSR.tm.t_set_disable_internal_reply(1)
            begin()
            -- nobody talks in the host's own, and the relay cannot take the floating address where that is not
            if KSR.pv.get("$si") == plan.own then keep("trial_call", 1) end
            local done, why = pcall(set_out, known.route, number)
            if not done then
                log("a call could not be placed: " .. tostring(why))
                KSR.tm.t_reply(500, "Server Internal Error")
            end
            return
        end
    end
    KSR.sl.sl_send_reply(404, "Not Found")
end

-- What the other SBC tells, and nobody else; or asks, before it gives the address away: keepalived counts on us (alive.py).
local function from_peer(source)
    for _, peer in ipairs(shared.peers) do
        if source == peer then
            if KSR.pv.get("$rm") == "KDMQ" then return KSR.dmq.handle_message() end
            local fit = KSR.htable.sht_get("fit", "for_the_address") and not exists(plan.out_of_service)
            if KSR.is_OPTIONS() then KSR.sl.sl_send_reply(fit and 200 or 503, fit and "OK" or "Unfit") end
            return
        end
    end
end

function ksr_request_route()
    local source = KSR.pv.get("$si")
    if shared and KSR.pv.get("$Rp") == shared.port then
        from_peer(source)
        return 1
    end
    if KSR.pv.get("$rm") == "KDMQ" then return 1 end -- it is heard at the port above alone
    if is_late() then return 1 end
    local of_ours = source == plan.own or inside(source)
    local trunk = not of_ours and trunk_of(source)
    local stranger = not of_ours and not trunk
    if stranger then
        if KSR.pike.pike_check_req() < 0 then return 1 end -- no answer: it would double the flood
        if not (KSR.siputils.has_totag() > 0) then
            refuse(403, "Forbidden")
            return 1
        end
    end
    if KSR.maxfwd.process_maxfwd(70) < 0 then
        KSR.sl.sl_send_reply(483, "Too Many Hops")
        return 1
    end
    if KSR.sanity.sanity_check(17895, 7) < 0 then return 1 end
    -- A request that comes again while another process is still at it, as when both waited in the socket, is not looked at: tm (6.1.5) would take a
    -- transaction that has no branch yet for one that was left, and release it. Its call would have no record, and keep its slot.
    if KSR.tmx.t_precheck_trans() > 0 then return 1 end
    if not KSR.is_CANCEL() and not KSR.is_ACK() and KSR.tm.t_check_trans() == 0 then return 1 end
    if KSR.is_CANCEL() then
        local found = KSR.tm.t_check_trans()
        if found > 0 then KSR.tm.t_relay() elseif found < 0 then KSR.sl.sl_send_reply(481, "Call/Transaction Does Not Exist") end
    elseif KSR.siputils.has_totag() > 0 then
        within_a_call(of_ours, trunk)
    elseif KSR.is_OPTIONS() then
        if out_of_service() then
            KSR.sl.sl_send_reply(503, "Out Of Service")
        elseif is_mute() then
            KSR.sl.sl_send_reply(503, "No Media")
        else
            KSR.sl.sl_send_reply(200, "OK")
        end
    elseif not KSR.is_INVITE() then
        if not KSR.is_ACK() then KSR.sl.sl_send_reply(405, "Method Not Allowed") end
    elseif trunk then
        inbound(trunk)
    else
        outbound()
    end
    return 1
end
