-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- hunt.lua FOLDER ROUTE: asks target after target of a route until a verdict is final, tells the caller what
-- came of it, and writes the record of the call. The plan of the route is FOLDER/route-ROUTE.lua.
--
-- What a caller or a carrier writes never becomes part of an application's data, which FreeSWITCH expands:
-- it goes through channel variables.

local folder, name = argv[1], argv[2]
local api = freeswitch.API()
local HOOK_REST = 60 -- seconds without a hook that failed
local HOOK_TIME = 1000 -- milliseconds that a hook may take
local LEG_WAIT = 500 -- milliseconds until a leg that failed has told of it
local CHALLENGED_AFTER = 40 -- seconds; a probe still pending after that was challenged (401/407)
-- 100rel besides FreeSWITCH's own extensions: a carrier may take no call without PRACK (RFC 3262). The profile's enable-100rel would also answer
-- calls in with reliable 183s, and leave the SDP out of their 200 (mod_sofia.c: NUTAG_INCLUDE_EXTRA_SDP).
local SUPPORTED = "timer, 100rel, path, replaces"

-- What the caller is told of an outcome that says something about the number; a carrier that was down says nothing about it.
local TOLD = {
    ["404"] = "404 Not Found", ["410"] = "410 Gone", ["433"] = "480 Temporarily Unavailable", ["480"] = "480 Temporarily Unavailable",
    ["482"] = "482 Loop Detected", ["483"] = "483 Too Many Hops", ["484"] = "484 Address Incomplete", ["485"] = "404 Not Found",
    ["486"] = "486 Busy Here", ["600"] = "486 Busy Here", ["603"] = "603 Decline", ["604"] = "404 Not Found", ["607"] = "603 Decline",
    ["608"] = "603 Decline", rang_out = "480 Temporarily Unavailable",
}
-- Of each leg: the SIP code alone counts; a redirect is never followed; who calls stands in no header but those of this file; and where
-- the carrier takes no RFC 4733 events, digits go in the sound (digits.lua) and never as SIP INFO.
local LEG = "{ignore_q850_reason=true,outbound_redirect_fatal=true,sip_cid_type=none,rtp_info_when_no_2833=false}"
-- Causes with which a leg ends before its INVITE: its trunk is full, or another call has the trial. No SIP code is mapped to them.
local NO_SLOT, NO_TRIAL = "PRE_EMPTED", "CHAN_NOT_IMPLEMENTED"
local ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>' -- RFC 3323 section 4.1.1.3
local IDENTITY = {pai = "P-Asserted-Identity", ppi = "P-Preferred-Identity", rpid = "Remote-Party-ID"}
-- Set for the hunt alone: what the operator's dialplan bridges after it is the operator's.
local BORROWED = {
    "continue_on_fail", "hangup_after_bridge", "export_vars", "effective_caller_id_number", "effective_caller_id_name",
    "sip_copy_custom_headers", "sip_copy_multipart", "push_channel_name",
}
-- Left over from the previous attempt, where a leg got no channel.
local STALE = {"last_bridge_hangup_cause", "sip_invite_failure_phrase", "sip_hangup_phrase"}

local function ask(command, arguments)
    local said = api:execute(command, arguments)
    return said and not said:find("^-") and said:gsub("%s+$", "") or ""
end

-- Marks are the second until which they hold: what nobody renews runs out.
local function marked(mark, key) return (tonumber(ask("hash", "select/siptrunk_" .. mark .. "/" .. key)) or 0) > os.time() end

local function now() return tonumber(api:getTime()) end -- ms
local function stamp(ms) return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(ms / 1000)) .. string.format(".%03dZ", ms % 1000) end
local function get(variable) return session:getVariable(variable) end
local function set(variable, value) session:setVariable(variable, value or "") end
local function since(variable) return tonumber(get(variable) or 0) / 1000 end -- µs of the channel as ms

-- --- JSON ---

local function text(value)
    if value == nil or value == "" then return "null" end
    return '"' .. tostring(value):gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

local function object(...)
    local parts = {}
    for _, pair in ipairs({...}) do parts[#parts + 1] = '"' .. pair[1] .. '":' .. pair[2] end
    return "{" .. table.concat(parts, ",") .. "}"
end

local function plain(value, allowed) return (tostring(value or ""):gsub("[^" .. allowed .. "]", "")) end

-- --- order ---

-- RFC 2782: one after the other is drawn, each with a chance by its weight. Those of weight 0 stand first, and have a
-- small chance; where all have it, all have the same.
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
        local point, at = math.random(rest[1].weight > 0 and 1 or 0, sum), 1
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

-- --- the call ---

local number = get("destination_number") or ""
local caller, caller_name = get("caller_id_number") or "", get("caller_id_name") or ""
local uuid = session:get_uuid()
if jit then math.randomseed(tonumber(uuid:sub(1, 8), 16)) end -- LuaJIT would draw the same for every call
local route = dofile(folder .. "/route-" .. name .. ".lua")
local began, attempts, passed_over = now(), {}, {}
local last_trunk, last_target, result, talked, told = "", "", "failed", 0, nil
local post_dial_delay, quality -- ms until something could be heard; of the leg that was answered

local function respond(line)
    session:execute("respond", line)
    session:hangup("NORMAL_TEMPORARY_FAILURE") -- for a caller who does not speak SIP
end

local function note(attempt, outcome, code, reason, ms, verdict)
    attempts[#attempts + 1] = object(
        {"at", text(stamp(attempt.began))}, {"trunk", text(attempt.trunk)}, {"target", text(attempt.target)}, {"code", code or "null"},
        {"reason", text(reason ~= "" and reason or outcome)}, {"ms", string.format("%d", math.floor(ms))}, {"next", text(verdict)})
    local event = freeswitch.Event("CUSTOM", "siptrunk::attempt")
    for key, value in pairs({
        Route = name, Trunk = attempt.trunk, Target = attempt.target, Code = code or "", Outcome = outcome, Ms = string.format("%d", math.floor(ms)),
        Verdict = verdict, Call = uuid,
    }) do event:addHeader(key, tostring(value)) end
    event:fire()
end

local function pass_over(trunk, target, why)
    passed_over[#passed_over + 1] = object({"trunk", text(trunk)}, {"target", text(target)}, {"why", text(why)})
end

-- The operator's own Lua before each attempt: it gets a table, changes `headers` and `caller_id` in it, and nothing else.
local function operators_hook(leg)
    if route.before_dial == "" or marked("hook", "rest") then return leg end
    local given = {trunk = leg.trunk, target = leg.target, number = number, caller_id = leg.caller_id, headers = {}}
    local ends = now() + HOOK_TIME
    local sees = {
        string = string, table = table, math = math, tonumber = tonumber, tostring = tostring, pairs = pairs, ipairs = ipairs, type = type, time = os.time,
    }
    local hook, why = loadfile(route.before_dial, "t", sees)
    if hook and setfenv then setfenv(hook, sees) end -- Lua 5.1 takes none of it
    local well = hook ~= nil
    if well then
        debug.sethook(function() if now() > ends then error("it took too long") end end, "", 10000)
        well, why = pcall(hook, given)
        debug.sethook()
    end
    local headers = {}
    if well and type(given.headers) == "table" and type(given.caller_id) == "string" then
        for key, value in pairs(given.headers) do
            value = tostring(value)
            if type(key) ~= "string" or not key:find("^[%w-]+$") or value:find("%c") then well, why = false, "a header that cannot be sent" end
            headers[key] = value
        end
    elseif well then
        well, why = false, "headers is to be a table, caller_id a string"
    end
    if not well then
        freeswitch.consoleLog("err", route.before_dial .. " failed for " .. number .. ": " .. tostring(why) .. ": calls go on without it for a minute\n")
        api:execute("hash", "insert/siptrunk_hook/rest/" .. (os.time() + HOOK_REST))
        return leg
    end
    return {trunk = leg.trunk, target = leg.target, caller_id = given.caller_id, headers = headers}
end

-- --- who calls ---

local function is_anonymous(text)
    text = (text or ""):lower()
    return text == "anonymous" or text == "restricted" or text == "withheld" or text == "private"
end

-- Whether the caller withholds the number: by the flags of the channel (the application `privacy`, and what FreeSWITCH reads from Privacy and
-- Remote-Party-ID), by these headers themselves, of which it does not know all values (RFC 3323), by From, or by a caller ID of the dialplan's.
local function is_withheld()
    if get("privacy_hide_number") == "true" or (get("sip_from_host") or ""):lower() == "anonymous.invalid" then return true end
    for _, variable in ipairs({"sip_from_user", "caller_id_number", "caller_id_name", "effective_caller_id_number", "effective_caller_id_name"}) do
        if is_anonymous(get(variable)) then return true end
    end
    for variable, words in pairs({
        sip_Privacy = "id user header session full", sip_h_Privacy = "id user header session full", origination_privacy = "hide_number",
    }) do
        for word in (get(variable) or ""):lower():gmatch("[%w_]+") do
            if (" " .. words .. " "):find(" " .. word .. " ", 1, true) then return true end
        end
    end
    local privacy = (get("sip_Remote-Party-ID") or ""):lower():match("privacy=\"?(%a+)")
    return privacy ~= nil and privacy ~= "off"
end

local withheld = is_withheld()

-- The name that goes with the number in From: none where the trunk shows another number. A phone without a name has its number there.
local function name_of(trunk)
    local said = (caller_name:gsub("[%c\"\\%%<>$]", ""))
    return trunk.shows_name and said:find("[^%d%s*#+-]") and said ~= "unknown" and said or "_undef_" -- FreeSWITCH's words for no name
end

-- The headers that say who calls, besides From.
local function identity(trunk, target, number_shown)
    local headers = {}
    if withheld then headers.Privacy = "id" end
    local user = plain(number_shown, "0-9a-zA-Z*#+._-"):gsub("#", "%%23")
    if trunk.asserted ~= "none" and user ~= "" and not is_anonymous(user) then
        local value = "<sip:" .. user .. "@" .. target.identity_host .. ">"
        if trunk.asserted == "rpid" then value = value .. ";party=calling;privacy=" .. (withheld and "full" or "off") .. ";screen=yes" end
        headers[IDENTITY[trunk.asserted]] = value
    end
    return headers
end

-- --- attempts ---

-- Variables of the next leg alone: on the caller's own channel, where they stand until the leg is made, they have names that mean nothing.
local leg_variables = {}
local function give_leg(variable, value)
    leg_variables[#leg_variables + 1] = "nolocal:" .. variable
    set("nolocal:" .. variable, value)
end

local operators_exports = get("export_vars")
local function forget_leg()
    for _, variable in ipairs(leg_variables) do set(variable) end
    leg_variables = {}
end

-- What leg.lua tells of a leg, a moment after its end. When it does not, the caller's channel tells whether it rang.
local function leg_report(attempt, has_leg)
    local key, ends = "siptrunk_leg/" .. attempt.leg, now() + (has_leg and LEG_WAIT or 0)
    local said = ask("hash", "select/" .. key)
    while said == "" and now() < ends do
        freeswitch.msleep(2)
        said = ask("hash", "select/" .. key)
    end
    if said ~= "" then
        api:execute("hash", "delete/" .. key)
    elseif ask("uuid_exists", attempt.leg) == "true" then -- it was transferred, and lives on: leg.lua need not report its end
        api:execute("hash", "insert/" .. key .. "/gone")
    else -- one that comes too late is removed all the same
        api:execute("sched_api", "+5 none hash delete/" .. key)
    end
    local code, port, rang, heard, answered, come, missed, sent, taken, cause =
        said:match("^(%S+) (%S+) (%S+) (%d+) (%d+) (%S+) (%S+) (%S+) (%S+) (%S+)$")
    if code then
        return {
            code = code:match("^%d%d%d$"), port = port, rang = rang:match("^%d+$"), heard = tonumber(heard) / 1000, answered = tonumber(answered) / 1000,
            come = tonumber(come), missed = tonumber(missed), sent = tonumber(sent), taken = taken == "yes", cause = cause,
        }
    end
    rang = since("progress_media_time") >= attempt.began and "183" or since("progress_time") >= attempt.began and "180" or nil
    return {rang = rang, heard = 0, answered = 0}
end

-- When the caller's channel first heard something, in ms, or nil.
local function first_heard()
    local first
    for _, variable in ipairs({"progress_time", "progress_media_time", "answered_time"}) do
        local moment = since(variable)
        if moment > 0 and (not first or moment < first) then first = moment end
    end
    return first
end

-- When something could first be heard of an attempt, in ms: what the caller's channel tells, unless it heard something before; else the leg.
local heard_before = first_heard()
local function heard_of(attempt, ended)
    local first = not heard_before and first_heard() or ended.heard
    return first > 0 and math.max(attempt.began, first) or nil
end

-- How the leg sounded. FreeSWITCH keeps no jitter, and nothing of what the carrier reports.
local function sound(ended)
    if not ended.come then return nil end
    return object(
        {"rx_packets", ended.come}, {"rx_lost", ended.come > 0 and ended.missed or 0}, {"rx_jitter_ms", "null"},
        {"tx_packets", ended.sent or "null"}, {"tx_lost", "null"}, {"tx_jitter_ms", "null"}, {"rtt_ms", "null"})
end

-- What became of an attempt without an answer: the outcome (a SIP code or a name), the code for the record, the reason, whether it rang.
-- The truth is in the SIP code: FreeSWITCH gives 403 and 603 the same cause.
local function outcome_of(ended, bounds)
    local cause = ended.cause or get("originate_disposition") or "" -- of a leg that had early media the disposition says nothing
    local code, port, rang = ended.code, ended.port, ended.rang
    local phrase = plain(get("sip_hangup_phrase"), "a-zA-Z0-9 .,")
    if cause == "ALLOTTED_TIMEOUT" or cause == "NO_ANSWER" then return "rang_out", rang or "180", "", rang or "180" end
    if cause == "PROGRESS_TIMEOUT" then
        -- A 100 shows in no variable. Without one the bound for silence would have ended it, where that is the shorter.
        if bounds.silence.effective < bounds.progress.effective then return "no_progress", "100", "Trying", rang end
        return "silent", nil, "", rang
    end
    -- 401 and 407 alike: FreeSWITCH makes up a code or a cause, and its channel never sees the challenge.
    if code == "904" then return "407", "407", "the carrier did not take the credentials", rang end
    if code == "900" then return "407", "407", "a challenge that FreeSWITCH cannot meet", rang end
    if cause == "MANDATORY_IE_MISSING" then return "407", "407", "a challenge, and the trunk has no account", rang end
    if cause == "INCOMPATIBLE_DESTINATION" and rang == "183" then return "488", rang, "media that cannot be used", rang end
    if (code == "408" or code == "503") and port == "0" then return code == "503" and "unreachable" or "silent", nil, "", rang end
    if code and code >= "300" and code < "700" then return code, code, phrase, rang end
    return "unreachable", nil, plain(cause, "A-Z_"), rang
end

-- Usually a person's word: a trunk may change its verdict, but not after the phone rang.
local function spoken(outcome) return outcome == "486" or outcome:find("^6") and outcome ~= "604" and outcome ~= "606" end

local function verdict_of(verdicts, outcome)
    return route.verdicts[verdicts][outcome] or route.verdicts[verdicts][outcome:sub(1, 1) .. "XX"]
end

-- How many calls are up through the trunk, in and out.
local function usage(trunk) return tonumber(ask("limit_usage", "hash siptrunk " .. trunk.name)) or 0 end

-- Try a target; on trial, one call at a time may. Returns the verdict, or "no_slot" or "trial"; nil when the call is over.
local function try_target(trunk, target, on_trial)
    local limit = not route.emergency and trunk.max_channels > 0 and trunk.max_channels
    if limit and usage(trunk) >= limit then return "no_slot" end -- without a leg; of calls at the same moment the leg's own limit decides
    -- FreeSWITCH puts it into the From header as it is
    local caller_id = trunk.caller_id ~= "" and trunk.caller_id or plain(caller, "0-9a-zA-Z*+._-")
    local leg = operators_hook({trunk = trunk.name, target = target.id, caller_id = caller_id, headers = {}})
    local bounds, verdicts = target.bounds, target.verdicts
    local callee = trunk.digits.prepend .. number:sub(trunk.digits.strip + 1)
    for _, variable in ipairs(STALE) do set(variable) end
    set("originate_disposition", "NONE")
    set("effective_caller_id_number", leg.caller_id)
    set("effective_caller_id_name", name_of(trunk))
    local attempt = {trunk = trunk.name, target = target.address .. ":" .. target.port, leg = ask("create_uuid", ""), began = now()}
    local connected = since("answered_time") > 0 -- before: a menu, a queue. Then the leg alone tells whether the carrier answered.

    give_leg("sip_h_Supported", SUPPORTED)
    for variable, value in pairs(trunk.leg) do give_leg(variable, value) end -- the operator's; what comes below has the last word
    -- The leg counts for the trunk as long as it lives, wherever the call is transferred. It holds the trial, too.
    give_leg("limit_ignore_transfer", "true")
    give_leg("execute_on_originate_siptrunk_slot", string.format("limit hash siptrunk %s %s !%s", trunk.name, limit or "-", NO_SLOT))
    if on_trial then give_leg("execute_on_originate_siptrunk_trial", string.format("limit hash siptrunk_trial %s 1 !%s", trunk.name, NO_TRIAL)) end
    give_leg("api_hangup_hook", "lua " .. folder .. "/leg.lua " .. attempt.leg)
    give_leg("api_on_answer_siptrunk", table.concat({"lua", folder .. "/answered.lua", name, attempt.trunk, attempt.target, attempt.began, uuid}, " "))
    give_leg("api_before_bridge_siptrunk", "lua " .. folder .. "/digits.lua " .. attempt.leg .. " " .. uuid)
    -- With early media both channels are bridged, and leg_timeout holds no longer.
    local ends = attempt.began + bounds.ring.effective * 1000
    give_leg("api_on_pre_answer_siptrunk", string.format("sched_api %d none lua %s/ring.lua %s %d&", math.floor(ends / 1000), folder, attempt.leg, ends))
    if withheld then give_leg("sip_force_full_from", ANONYMOUS) end
    for key, value in pairs(identity(trunk, target, leg.caller_id)) do give_leg("sip_h_" .. key, value) end
    for key, value in pairs(leg.headers) do give_leg("sip_h_" .. key, value) end
    set("export_vars", (operators_exports and operators_exports .. "," or "") .. table.concat(leg_variables, ","))

    local legs = get("originated_legs")
    -- sip_use_gateway: whose account signs a request after the leg has ended, a BYE that is challenged
    session:execute("bridge", string.format(
        "%s[origination_uuid=%s,sip_use_gateway=%s,absolute_codec_string=^^:%s,leg_progress_timeout=%d,leg_timeout=%d]sofia/gateway/%s/%s",
        LEG, attempt.leg, target.id, trunk.codecs, bounds.progress.effective, bounds.ring.effective, target.id, (callee:gsub("#", "%%23"))))
    local disposition, has_leg = get("originate_disposition"), get("originated_legs") ~= legs
    forget_leg()
    if session:ready() and (disposition == NO_SLOT or disposition == NO_TRIAL) then
        api:execute("sched_api", "+5 none hash delete/siptrunk_leg/" .. attempt.leg)
        return disposition == NO_SLOT and "no_slot" or "trial"
    end

    last_trunk, last_target = attempt.trunk, attempt.target
    local over, answered = now(), connected and 0 or since("answered_time")
    local ms, ended = over - attempt.began, leg_report(attempt, has_leg)
    if answered == 0 then answered = ended.answered end
    local heard = not post_dial_delay and heard_of(attempt, ended)
    post_dial_delay = heard and string.format("%d", math.floor(heard - began)) or post_dial_delay
    if answered > 0 then
        result, talked, quality = "answered", math.floor((over - answered) / 1000), sound(ended)
        return note(attempt, "200", "200", "OK", math.max(0, answered - attempt.began), "final")
    end
    if ended.taken then -- somebody picked up, and FreeSWITCH ended the call: nobody else is called
        result, told = session:ready() and "failed" or "cancelled", "488 Not Acceptable Here"
        return note(attempt, "200", "200", "answered with media that cannot be used", ms, "final")
    end
    if not session:ready() then
        result = "cancelled"
        return note(attempt, "487", "487", "the caller hung up", ms, "final")
    end
    local outcome, code, reason, rang = outcome_of(ended, bounds)
    local verdict = verdict_of(verdicts, outcome)
    if rang and (not route.hunt_after_ringing or spoken(outcome)) then verdict = "final" end
    note(attempt, outcome, code, reason, ms, verdict)
    if outcome == "silent" or outcome == "unreachable" then
        api:execute("hash", string.format("insert/siptrunk_cool/%s/%d", target.mark, os.time() + route.cool_down))
    end
    told = verdict ~= "full" and TOLD[outcome] or told
    return verdict
end

-- FreeSWITCH drops a challenged OPTIONS: the gateway stays `pinging`, in its previous state. Silence ends a probe after 32 s at the most.
-- When it began is in FreeSWITCH's own time, which does not follow the host's clock when that is set: now(), and not os.time().
local function probed_down(target)
    local status = ask("sofia", "xmlstatus gateway " .. target.id .. ".probe")
    if status:find("<status>UP</status>", 1, true) then return false end
    local began = status:find("<pinging>1</pinging>", 1, true) and tonumber(status:match("<ping>(%d+)</ping>"))
    return not began or math.floor(now() / 1000) - began <= CHALLENGED_AFTER
end

-- Why a target is passed over, or nil.
local function unwell(trunk, target)
    if marked("closed", trunk.name) then return "closed" end
    if marked("held", target.mark) then return "held" end
    if target.probed and probed_down(target) then return "down" end
    if marked("cool", target.mark) then return "cooling" end
end

local function hunt()
    local asked, trunks_asked, left, after_all = {}, 0, {}, {}

    local function may_be_asked(trunk)
        if left[trunk.name] then return false end
        return asked[trunk.name] and asked[trunk.name] < route.max_targets or not asked[trunk.name] and trunks_asked < route.max_attempts
    end

    local function pass_over_for_health(trunk, target, why)
        pass_over(trunk.name, target.address .. ":" .. target.port, why)
        after_all[#after_all + 1] = {trunk, target}
    end

    -- Returns true when the call is over.
    local function try(trunk, target, on_trial)
        if not may_be_asked(trunk) then return false end
        if not session:ready() then
            result = "cancelled"
            return true
        end
        local verdict = try_target(trunk, target, on_trial)
        if verdict == "trial" then
            pass_over_for_health(trunk, target, "trial")
            return false
        elseif verdict == "no_slot" then
            left[trunk.name] = true
            pass_over(trunk.name, nil, "full")
            return false
        end
        if not asked[trunk.name] then trunks_asked = trunks_asked + 1 end
        asked[trunk.name] = (asked[trunk.name] or 0) + 1
        local goes_on = verdict == "next_trunk" or verdict == "full"
        if goes_on then left[trunk.name] = true end
        return not goes_on and verdict ~= "next_target"
    end

    for _, member in ipairs(in_order(route.trunks)) do
        local trunk = route.plan[member.name]
        if not route.emergency and ask("db", "exists/siptrunk_drained/" .. trunk.name) == "true" then
            pass_over(trunk.name, nil, "drained")
        else
            for _, target in ipairs(in_order(trunk.targets)) do
                local why = not route.emergency and may_be_asked(trunk) and unwell(trunk, target)
                if why then
                    pass_over_for_health(trunk, target, why)
                elseif try(trunk, target, not route.emergency and marked("trial", trunk.name)) then
                    return
                end
            end
        end
    end
    -- What was passed over for its health is asked after all: a mark never fails a call.
    for _, pair in ipairs(after_all) do
        if try(pair[1], pair[2]) then return end
    end
end

local function record()
    local list, over = "[" .. table.concat(attempts, ",") .. "]", "[" .. table.concat(passed_over, ",") .. "]"
    for key, value in pairs({route = name, trunk = last_trunk, target = last_target, attempts = list, passed_over = over}) do
        set("siptrunk_" .. key, value)
    end
    local line = object(
        {"at", text(stamp(began))}, {"call", text(uuid)}, {"from", '"' .. plain(caller, "0-9a-zA-Z*#+") .. '"'}, {"to", text(number)}, {"route", text(name)},
        {"trunk", '"' .. last_trunk .. '"'}, {"target", '"' .. last_target .. '"'}, {"result", text(result)}, {"talk_seconds", talked},
        {"attempts", list}, {"passed_over", over}, {"pdd_ms", post_dial_delay or "null"}, {"quality", quality or "null"})
    local file, why = io.open(route.cdr_file, "a")
    if not file then return freeswitch.consoleLog("err", "the record of a call could not be written: " .. why .. ": " .. line .. "\n") end
    file:setvbuf("full", #line + 1) -- one write: other calls write too
    file:write(line, "\n")
    file:close()
end

-- A regular expression's "$" lets a line break pass.
if not number:find("^[0-9*#+]+$") then return respond("484 Address Incomplete") end
session:setAutoHangup(false)
local before = {}
for _, variable in ipairs(BORROWED) do before[variable] = get(variable) end
for variable, value in pairs({
    continue_on_fail = "true", hangup_after_bridge = "true", -- the hunt decides what is tried next, and nothing follows an answered call
    push_channel_name = "false", -- a caller can ask for it, and the name of its channel would be sent to the carrier
}) do set(variable, value) end
if withheld then -- what the caller's own headers and body say of it (Diversion, Identity, P-Charge-Info, X-...) stays here
    set("sip_copy_custom_headers", "false")
    set("sip_copy_multipart", "false")
end
-- A call that came in through a trunk leaves through one only if the operator's dialplan says so.
if (get("siptrunk_in") or "") ~= "" and get("siptrunk_transit") ~= "yes" then
    told = "403 Forbidden"
    freeswitch.consoleLog("warning", "a call that came in through " .. get("siptrunk_in") .. " may not leave through route " .. name .. "\n")
else
    hunt()
end
set("siptrunk_told", result == "failed" and (told or "503 Service Unavailable"))
record()
for _, variable in ipairs(BORROWED) do set(variable, before[variable]) end
-- The operator's dialplan goes on after a failed call only if it says so.
if result == "failed" and session:ready() and get("siptrunk_go_on") ~= "yes" then respond(get("siptrunk_told")) end
