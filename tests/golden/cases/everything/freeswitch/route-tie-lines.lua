-- Written by Ansible (siptrunk.failover). Changes made here are lost.
--
-- tie-lines: the last trunk is asked after 0.0 s at the worst
return {
  emergency = false,
  max_attempts = 2,
  max_targets = 4,
  hunt_after_ringing = false,
  cool_down = 0,
  cdr_file = "/var/log/freeswitch/siptrunk-cdr.jsonl",
  before_dial = "",
  trunks = {{{name = "behind", weight = 50}}},
  plan = {
    behind = {
      name = "behind",
      caller_id = "",
      codecs = "PCMA:PCMU",
      digits = {strip = 0, prepend = ""},
      max_channels = 0,
      targets = {
        {
          {
            id = "behind.1",
            address = "198.18.4.1",
            port = 5060,
            weight = 50,
            mark = "198.18.4.1_5060_udp",
            probed = true,
            bounds = {silence = {effective = 7}, progress = {effective = 63}, ring = {effective = 113}},
            verdicts = "table-4",
          },
          {
            id = "behind.2",
            address = "198.18.4.2",
            port = 5060,
            weight = 50,
            mark = "198.18.4.2_5060_udp",
            probed = true,
            bounds = {silence = {effective = 7}, progress = {effective = 63}, ring = {effective = 113}},
            verdicts = "table-4",
          },
        },
      },
    },
  },
  verdicts = {
    ["table-4"] = {
      no_progress = "final",
      rang_out = "final",
      silent = "next_target",
      unreachable = "next_trunk",
      ["3XX"] = "next_trunk",
      ["4XX"] = "next_trunk",
      ["404"] = "final",
      ["482"] = "final",
      ["483"] = "final",
      ["486"] = "final",
      ["487"] = "final",
      ["5XX"] = "next_target",
      ["500"] = "final",
      ["501"] = "next_trunk",
      ["505"] = "next_trunk",
      ["513"] = "next_trunk",
      ["6XX"] = "final",
      ["606"] = "next_trunk",
    },
  },
}
