-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- answered.lua ROUTE TRUNK TARGET BEGAN CALL: when the leg of an attempt is answered (api_on_answer), tells who listens. BEGAN: when
-- the attempt began, in ms.
local event = freeswitch.Event("CUSTOM", "siptrunk::answered")
for key, value in pairs({
    Route = argv[1], Trunk = argv[2], Target = argv[3], Call = argv[5],
    Ms = string.format("%d", tonumber(freeswitch.API():getTime()) - tonumber(argv[4])),
}) do event:addHeader(key, value) end
event:fire()
