-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- all: the last trunk is asked after 0 s at the worst
return {
  emergency = false,
  max_attempts = 3,
  max_targets = 2,
  hunt_after_ringing = false,
  cool_down = 30,
  cdr_file = "/var/log/freeswitch/siptrunk-cdr.jsonl",
  before_dial = "",
  trunks = {{{name = "only", weight = 50}}},
  plan = {
    only = {
      name = "only",
      caller_id = "",
      codecs = "PCMA:PCMU",
      digits = {strip = 0, prepend = ""},
      max_channels = 0,
      targets = {
        {
          {
            id = "only.1",
            address = "198.18.1.21",
            port = 5060,
            weight = 50,
            mark = "198.18.1.21_5060_udp",
            probed = true,
            bounds = {silence = {effective = 4}, progress = {effective = 10}, ring = {effective = 60}},
            verdicts = "table-1",
          },
        },
      },
    },
  },
  verdicts = {
    ["table-1"] = {
      no_progress = "next_trunk",
      rang_out = "final",
      silent = "next_target",
      unreachable = "next_target",
      ["3XX"] = "next_trunk",
      ["4XX"] = "next_trunk",
      ["404"] = "final",
      ["408"] = "next_target",
      ["410"] = "final",
      ["433"] = "final",
      ["480"] = "final",
      ["482"] = "final",
      ["483"] = "final",
      ["484"] = "final",
      ["485"] = "final",
      ["486"] = "final",
      ["487"] = "final",
      ["5XX"] = "next_target",
      ["501"] = "next_trunk",
      ["505"] = "next_trunk",
      ["513"] = "next_trunk",
      ["6XX"] = "final",
      ["606"] = "next_trunk",
    },
  },
}
