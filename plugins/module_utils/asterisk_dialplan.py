# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's extensions.conf: which contexts lead to the trunks, and which extensions Asterisk finds before those of the trunks.

Read from files, not from `dialplan show`: they are there in check mode, before the first deployment and while Asterisk is stopped, and have
whole paths and the lines of includes. Contexts that AEL or Lua makes are only looked at for the trunks' context.
"""

from __future__ import annotations

import os
import re

from ansible_collections.siptrunk.failover.plugins.module_utils.asterisk_conf import read_sections

OUTBOUND = "siptrunk-outbound"
_ENTRIES = {OUTBOUND, "siptrunk-hunt"}
_NO_CONTEXTS = {"general", "globals"}
_OTHERS = ("extensions.ael", "extensions.lua")
_JUMPS = re.compile(r"(Goto|GotoIf|GotoIfTime|Gosub|GosubIf|ExecIf|Macro|MacroIf|Originate)\(", re.IGNORECASE)
_DESTINATION = re.compile(r"(?:[(,?:]|^)\s*([\w.-]+)(?=,)")
_LOCAL = re.compile(r"Local/[^@,&)]*@([\w.-]+)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def look(directory):
    """What the operator's files in a configuration directory say of the way from phones to the trunks.

    {"file": extensions.conf, "contexts": [{"context", "file", "line"}] that lead to the trunks, in order,
     "before": {context that includes theirs: [{"context", "pattern", "file", "line"}] that Asterisk looks at before},
     "elsewhere": file of another kind that names the trunks' context, "phones": a context of phones, with "file" and "line", or None}
    """
    own = os.path.join(directory, "siptrunk")
    contexts = read_dialplan(directory, skip=own)
    leading = ways(contexts)
    before = {name: found_before(contexts, name, leading) for name in leading}
    phones = context_of_phones(directory, contexts, skip=own)
    return {
        "file": os.path.join(directory, "extensions.conf"),
        "contexts": [{"context": name, **leading[name]} for name in contexts if name in leading],
        "before": {name: extensions for name, extensions in before.items() if extensions is not None},
        "elsewhere": elsewhere(directory),
        "phones": phones and {"context": phones, "file": contexts[phones]["file"], "line": contexts[phones]["line"]},
    }


def read_dialplan(directory, skip=""):
    """{name: {"file", "line", "includes": [{"context", "file", "line"}], "extensions": [{"pattern", "file", "line", "leads_to": [contexts]}]}}.

    Extensions are those with a priority 1, without those that match the caller's number as well.
    """
    sections = read_sections(directory, "extensions.conf", skip=skip)
    variables = {key: value for section in sections if section["name"] == "globals" for key, value, _file, _line in section["lines"]}
    contexts = {}
    for section in sections:
        if section["template"] or section["name"] in _NO_CONTEXTS:
            continue
        context = contexts.setdefault(section["name"], {"file": section["file"], "line": section["line"], "includes": [], "extensions": []})
        known = {extension["pattern"]: extension for extension in context["extensions"]}
        pattern = ""
        for key, value, file, line in section["lines"]:
            value = _VARIABLE.sub(lambda found: variables.get(found.group(1).lower(), found.group(0)), value)
            if key == "include":
                context["includes"].append({"context": re.split(r"[,|]", value)[0].strip(), "file": file, "line": line})
            elif key in ("exten", "same"):
                if key == "exten":
                    pattern, _comma, value = value.partition(",")
                    pattern = pattern.strip()
                priority, _comma, application = value.partition(",")
                if "/" in pattern or priority.strip().lower() == "hint":
                    continue
                if re.match(r"1\s*(\(|$)", priority.strip()) and pattern not in known:
                    known[pattern] = {"pattern": pattern, "file": file, "line": line, "leads_to": []}
                    context["extensions"].append(known[pattern])
                if pattern in known:
                    known[pattern]["leads_to"].extend(_destinations(application))
    return contexts


def _destinations(application):
    """The contexts to which an application with its arguments may send a call; other words may be among them."""
    found = _LOCAL.findall(application)
    return found + _DESTINATION.findall(application) if _JUMPS.search(application) else found


def ways(contexts):
    """{name: {"file", "line"} of the line that leads on} of the contexts from which a call may come to the trunks."""
    leading = {}
    grown = True
    while grown:
        grown = False
        for name, context in contexts.items():
            if name in leading:
                continue
            by = next((include for include in context["includes"] if include["context"] == OUTBOUND or include["context"] in leading), None)
            by = by or next((extension for extension in context["extensions"] if leads(extension, leading)), None)
            if by:
                leading[name] = {"file": by["file"], "line": by["line"]}
                grown = True
    return leading


def leads(extension, leading):
    """Whether an extension sends calls on to the trunks."""
    return not (_ENTRIES | set(leading)).isdisjoint(extension["leads_to"])


def found_before(contexts, name, leading):
    """The extensions that Asterisk looks at before those of the trunks, for a call in a context; None where no include leads to the trunks.

    It takes the best of a context's own, and only without one goes on to what it includes, in order, each with its own first
    (main/pbx.c, pbx_find_extension). A context is searched once. Extensions that send calls on to the trunks are left out.
    """
    found, searched = [], set()

    def search(current):
        if current == OUTBOUND:
            return True
        if current in searched or current not in contexts:
            return False
        searched.add(current)
        own = [extension for extension in contexts[current]["extensions"] if not leads(extension, leading)]
        found.extend({"context": current, **{key: extension[key] for key in ("pattern", "file", "line")}} for extension in own)
        return any(search(include["context"]) for include in contexts[current]["includes"])

    return found if search(name) else None


def elsewhere(directory):
    """The file of another kind of dialplan that names the trunks' context, or ""."""
    for name in _OTHERS:
        try:
            with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as stream:
                if OUTBOUND in stream.read():
                    return os.path.join(directory, name)
        except OSError:
            continue
    return ""


def context_of_phones(directory, contexts, skip=""):
    """The context that most of the operator's endpoints have, of those that there are, or None."""
    options = [section["options"] for section in read_sections(directory, "pjsip.conf", skip=skip) if not section["template"]]
    names = [option.get("context", "") for option in options if option.get("type") == "endpoint"]
    return max((name for name in names if name in contexts), key=names.count, default=None)
