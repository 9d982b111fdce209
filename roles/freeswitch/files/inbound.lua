-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- inbound.lua FOLDER: a call on the trunks' profile. From a trunk's own addresses it goes to the operator's context,
-- counts for the trunk, and is marked so that it does not leave through a trunk again. FOLDER/trunks.lua names the addresses.

local api = freeswitch.API()
local source = session:getVariable("network_addr") or ""
local number = session:getVariable("destination_number") or ""

local function respond(line)
    session:execute("respond", line)
    session:hangup("CALL_REJECTED")
end

-- The trunk whose registered contact was called, from one of its own targets: it tells accounts at one address apart. Otherwise by the address.
local function trunk_of(address)
    local trunks, registered = dofile(argv[1] .. "/trunks.lua"), (session:getVariable("sip_gateway") or ""):match("^([a-z0-9-]+)%.")
    for _, trunk in ipairs(trunks) do
        if trunk.name == registered and trunk.targets[address] then return trunk end
    end
    for _, trunk in ipairs(trunks) do
        for _, network in ipairs(trunk.from) do
            if api:execute("acl", address .. " " .. network) == "true" then return trunk end
        end
    end
end

local trunk = source:find("^[%x.:]+$") and trunk_of(source)
if not trunk or trunk.context == "" then return respond("403 Forbidden") end
session:setVariable("siptrunk_in", trunk.name)
local gateway = trunk.targets[source]
if gateway then session:setVariable("sip_use_gateway", gateway) end -- the gateway whose credentials answer a 401/407 within the call
session:setVariable("limit_ignore_transfer", "true") -- it counts until it ends, wherever it goes
session:execute("limit", "hash siptrunk " .. trunk.name .. " -") -- counted, and not limited: it is here already
session:setAutoHangup(false)
session:transfer(number, "XML", trunk.context)
