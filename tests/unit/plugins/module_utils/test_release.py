# Copyright: (c) 2026, siptrunk.failover contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases on disk, with an engine that is a dictionary, and a run that dies or finds the disk full at every step."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import stat
import time

import pytest

from ansible_collections.siptrunk.failover.plugins.module_utils.release import Refused, Store, deploy, diff, secrets_in

OLD = {"trunks.conf": "[a]\npassword = one\n", "secret": "s3cret"}
NEW = {"trunks.conf": "[a]\npassword = two\n[b]\n", "more.conf": "x\n", "secret": "s3cret"}
OPERATOR = "; the operator's own\nkey = value"  # without a line break at its end
STEPS = ("mkdir", "open", "write", "fsync", "replace", "rename", "symlink", "unlink", "chmod", "rmdir", "truncate")


class Killed(BaseException):
    """The process is gone: nothing after it runs."""


class Engine:
    """What it has loaded, from what stands on the disk. `refuses` and `rejects`: a text that the rehearsal, the engine does not take."""

    def __init__(self, store):
        self.store, self.loaded, self.restarts = store, {}, 0
        self.refuses = self.rejects = None
        self.waiting, self.calls = [], 0
        self.unseen, self.start, self.registered = [], 0.0, []

    def on_disk(self):
        lacking = [os.path.basename(path) for path in self.store.lacking()]
        return {} if "main.conf" in lacking else self.store.read(self.store.live())

    def tidy(self):
        pass

    def rehearse(self, files, includes):
        if self.refuses and any(self.refuses in text for text in files.values()):
            raise Refused("line 1: %s?" % self.refuses)
        return "tried"

    def faults(self, files):
        return [] if self.loaded == files else ["It runs something else."]

    def restart_needed(self, files):
        return self.waiting

    def restart_only(self, before, files, waiting):
        return sorted({*waiting, *(self.unseen if before != files else [])})

    def started(self):
        return self.start

    def accounts(self, files):
        return {line: files["trunks.conf"].splitlines()[1] for line in files.get("trunks.conf", "").splitlines() if line.startswith("[")}

    def register(self, names):
        self.registered += names

    def busy(self):
        return self.calls > 0

    def activate(self, files, before, names, restart, known=()):
        self.restarts += restart
        found = self.on_disk()
        if self.rejects and any(self.rejects in text for text in found.values()):
            raise Refused("running: %s?" % self.rejects)
        for name in set(found) | set(self.loaded):
            if restart or name in names:
                self.loaded.pop(name, None)
                self.loaded.update({name: found[name]} if name in found else {})
        if self.loaded != files:
            raise Refused("It runs something else.")


def new_store(folder):
    """A store in a new folder, with one of the two operator's files."""
    folder.mkdir()
    (folder / "main.conf").write_text(OPERATOR, encoding="utf-8")
    includes = {str(folder / "main.conf"): "#include own/trunks.conf", str(folder / "none.conf"): "#include own/more.conf"}
    return Store(str(folder), "own", os.getegid(), includes, private=["secret"])


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path / "etc")


@pytest.fixture
def engine(store):
    return Engine(store)


@pytest.fixture
def deployed(store, engine):
    """OLD is live."""
    deploy(store, engine, OLD)
    return store


def tree(store):
    """All that is there: {path: content, or where a link goes}."""
    found = {}
    for folder, _folders, names in os.walk(store.directory):
        for name in [*names, *[entry for entry in _folders if os.path.islink(os.path.join(folder, entry))]]:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, store.directory)
            found[relative] = os.readlink(path) if os.path.islink(path) else open(path, encoding="utf-8").read()
    return found


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


@contextlib.contextmanager
def failing(number, error):
    """The n-th call that changes or reads something on the disk raises `error`. Yields the calls that were made."""
    calls = []

    def instead(plain):
        def step(*args, **kwargs):
            calls.append(plain.__name__)
            if len(calls) == number:
                raise error
            return plain(*args, **kwargs)

        return step

    with pytest.MonkeyPatch.context() as patched:
        for step in STEPS:
            patched.setattr(os, step, instead(getattr(os, step)))
        yield calls


def every_step(tmp_path, first):
    """(number of a step, store, engine) without end: the same beginning each time. `first`: nothing was ever deployed."""
    for number in itertools.count(1):
        store = new_store(tmp_path / str(number))
        engine = Engine(store)
        if not first:
            deploy(store, engine, OLD)
            os.unlink(os.path.join(store.directory, "none.conf"))
        yield number, store, engine


def test_first_release(store, engine):
    result = deploy(store, engine, OLD)
    assert (result["changed"], result["release"], result["previous"], result["tried"]) == (True, "1", None, "tried")
    assert engine.loaded == OLD
    found = tree(store)
    assert found == {
        "own": "own.d/1",
        **{f"own.d/1/{name}": text for name, text in OLD.items()},
        "main.conf": OPERATOR + "\n#include own/trunks.conf\n",
        "none.conf": "#include own/more.conf\n",
    }
    assert [mode(os.path.join(store.folder, path)) for path in ("", "1", "1/trunks.conf", "1/secret")] == [0o750, 0o750, 0o640, 0o600]


def test_second_run_changes_nothing(deployed, engine):
    before = tree(deployed)
    result = deploy(deployed, engine, OLD)
    assert (result["changed"], result["did"], result["diff"], tree(deployed)) == (False, [], [], before)


def test_one_release_of_before_is_kept(deployed, engine):
    assert deploy(deployed, engine, NEW)["previous"] == "1"
    assert deploy(deployed, engine, OLD)["release"] == "3"
    assert sorted(os.listdir(deployed.folder)) == ["2", "3"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: open(path, "a").write("x"), id="changed"),
        pytest.param(os.unlink, id="removed"),
        pytest.param(lambda path: os.chmod(path, 0o644), id="readable by all"),
        pytest.param(lambda path: open(path + ".bak", "w").close(), id="one too many"),
        pytest.param(lambda path: open(path, "wb").write(b"\xff"), id="not UTF-8"),
        pytest.param(lambda path: os.chmod(os.path.dirname(path), 0o755), id="folder"),
    ],
)
def test_damage_is_mended(deployed, engine, damage):
    damage(os.path.join(deployed.link, "trunks.conf"))
    assert deploy(deployed, engine, OLD, check=True)["changed"]
    assert deploy(deployed, engine, OLD)["release"] == "2"
    assert not deploy(deployed, engine, OLD)["changed"]


def test_a_removed_include_is_put_back_alone(deployed, engine):
    path = os.path.join(deployed.directory, "main.conf")
    open(path, "w").write("mine\n")
    assert deploy(deployed, engine, OLD)["release"] == "1"
    assert open(path).read() == "mine\n#include own/trunks.conf\n"


def test_a_plain_folder_becomes_release_0(store, engine):
    os.mkdir(store.link)
    open(os.path.join(store.link, "trunks.conf"), "w").write("by hand")
    engine.rejects = "two"
    with pytest.raises(Refused):
        deploy(store, engine, NEW)
    assert open(os.path.join(store.link, "trunks.conf")).read() == "by hand"
    engine.rejects = None
    assert deploy(store, engine, NEW)["previous"] == "0"
    assert open(os.path.join(store.folder, "0", "trunks.conf")).read() == "by hand"


def test_check_mode_touches_nothing(deployed, engine):
    before = tree(deployed)
    result = deploy(deployed, engine, NEW, check=True)
    assert (result["changed"], tree(deployed), engine.loaded) == (True, before, OLD)
    assert "Write more.conf, trunks.conf." in result["did"]


def test_check_mode_where_there_is_nothing(tmp_path):
    store = Store(str(tmp_path / "none"), "own", None, {str(tmp_path / "none/main.conf"): "#include own/a"})
    result = deploy(store, Engine(store), NEW, check=True)
    assert result["changed"] and len(result["diff"]) == len(NEW) + 1
    assert os.listdir(tmp_path) == []


def test_refused_in_rehearsal_changes_nothing(deployed, engine):
    before = tree(deployed)
    engine.refuses = "two"
    with pytest.raises(Refused, match=r"line 1: two\? Nothing was changed\.") as caught:
        deploy(deployed, engine, NEW)
    assert (tree(deployed), engine.loaded, caught.value.rolled_back) == (before, OLD, False)


def test_rejected_by_the_engine_is_taken_back(deployed, engine):
    before = tree(deployed)
    engine.rejects = "two"
    with pytest.raises(Refused, match=r"running: two\?\nThe files of before are back, and in force\.") as caught:
        deploy(deployed, engine, NEW)
    assert (tree(deployed), engine.loaded, caught.value.rolled_back) == (before, OLD, True)


def test_a_first_release_that_is_rejected_leaves_no_trace(store, engine):
    before = tree(store)
    engine.rejects = "two"
    with pytest.raises(Refused):
        deploy(store, engine, NEW)
    assert (tree(store), engine.loaded) == (before, {})


def test_an_engine_that_lost_it_loads_it_again(deployed, engine):
    engine.loaded = {}
    assert deploy(deployed, engine, OLD)["did"] == ["It runs something else."]
    assert engine.loaded == OLD


@pytest.mark.parametrize("outcome", ["completed", "rejected", "refused", "another"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_killed_anywhere_is_healed_by_the_next_run(tmp_path, outcome, first):
    for number, store, engine in every_step(tmp_path, first):
        before, loaded = tree(store), dict(engine.loaded)
        with failing(number, Killed()) as calls, contextlib.suppress(Killed):
            deploy(store, engine, NEW)
        if len(calls) < number:
            break
        done = store.journal() is None and store.wrong(store.live(), NEW) == []
        if outcome in ("rejected", "refused") and not done:
            setattr(engine, {"rejected": "rejects", "refused": "refuses"}[outcome], "two")
            with pytest.raises(Refused):
                deploy(store, engine, NEW)
            store.prune()  # a release that was begun and not yet noted is rubbish, for the next run that writes
            assert (tree(store), engine.loaded) == (before, loaded), calls
        else:
            files = {**NEW, "more.conf": "y\n"} if outcome == "another" else NEW
            deploy(store, engine, files)
            assert engine.loaded == files, calls
            assert not deploy(store, engine, files)["changed"], calls
            assert open(os.path.join(store.directory, "main.conf")).read() == OPERATOR + "\n#include own/trunks.conf\n"
        assert store.journal() is None
        assert [path for path in tree(store) if path.endswith(".new")] == []
        assert len(store._numbers()) <= 2
    assert number > 30


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_an_error_of_the_disk_leaves_everything_as_it_was(tmp_path, error, first):
    refusals = 0
    for number, store, engine in every_step(tmp_path, first):
        before, loaded = tree(store), dict(engine.loaded)
        with failing(number, OSError(error, os.strerror(error))) as calls:
            try:
                deploy(store, engine, NEW)
            except Refused as refused:
                said, refusals = str(refused), refusals + 1
                assert os.strerror(error) in said
                assert said.endswith(("Nothing was changed.", "The files of before are back, and in force."))
            else:
                said = ""
        if len(calls) < number:
            break
        assert (tree(store), engine.loaded) == (before, loaded) if said else engine.loaded == NEW, calls
    assert refusals > 20


def test_one_deployment_at_a_time(deployed, engine):
    with deployed.locked(0):
        with pytest.raises(Refused, match="Another deployment .* is under way. Nothing was changed."):
            deploy(deployed, engine, NEW, timeout=0)


def test_a_restart_waits_for_permission(deployed, engine):
    engine.waiting = ["timer=5 (now 9)"]
    assert deploy(deployed, engine, OLD)["restart_needed"] == ["timer=5 (now 9)"]
    assert engine.restarts == 0
    assert deploy(deployed, engine, OLD, allow_restart=True)["restarted"]
    assert engine.restarts == 1


@pytest.mark.parametrize("calls", [0, 1])
def test_a_new_engine_is_restarted_once_unless_it_has_calls(store, engine, calls):
    os.makedirs(os.path.join(store.folder, "fresh"))
    engine.calls = calls
    deploy(store, engine, OLD)
    deploy(store, engine, NEW)
    assert (engine.restarts, store.fresh(), engine.loaded) == (1 - calls, False, NEW)


def test_differences_show_no_secret_but_that_it_changed():
    before = {"a.conf": "[x]\ntype = auth\npassword = old;1\nmd5_cred = same\n", "key": "k1"}
    after = {"a.conf": "[x]\ntype = auth\npassword = new;1\nmd5_cred = same\n[y]\nsecret => fresh\n", "key": "k2"}
    text = "".join(part["prepared"] for part in diff(before, after, private=["key"]))
    assert "-password = ********\n+password = ******** (changed)\n md5_cred = ********\n+[y]\n+secret => ********\n" in text
    assert "-********\n+******** (changed)\n" in text
    assert not [word for word in ("old", "new", "same", "fresh", "k1", "k2") if word in text]


def test_differences_of_xml_show_no_secret():
    line = '<gateway name="a">\n  <param name="password" value="%s"/>\n</gateway>\n'
    text = "".join(part["prepared"] for part in diff({"a.xml": line % "old&#34;"}, {"a.xml": line % "new&#34;"}))
    assert '-  <param name="password" value="********"/>\n+  <param name="password" value="********"/> (changed)\n' in text
    assert {"new&#34;", 'new"'} <= secrets_in({"a.xml": line % "new&#34;"})


def test_no_difference_no_output():
    assert diff(OLD, OLD) == []


def test_secrets_as_written_and_as_meant():
    found = secrets_in({"a.conf": "password = p\\;q\nusername = u\nsecret =\n", "key": "k"}, private=["key"])
    assert found == {"p\\;q", "p;q", "k"}


def gateway(name, password):
    """As profile.xml has it."""
    return f"""    <gateway name="{name}">
      <variables>
        <variable name="siptrunk_mark" value="mark-of-{name}" direction="inbound"/>
      </variables>
      <param name="username" value="pbx"/>
      <param name="auth-username" value="login"/>
      <param name="password" value="{password}"/>
    </gateway>
"""


def test_a_bracket_is_no_secret():
    """Otherwise each bracket of a message would be hidden."""
    text = 'return {\n    ["acme"] = "only",\n    ["b"]="p"\n}\n'
    assert secrets_in({"secrets.lua": text}, private=["secrets.lua"]) == {'["acme"] = "only",', '["b"]="p"'}


def test_secrets_in_xml_as_written_and_as_meant():
    found = secrets_in({"profile.xml": gateway("acme.1", "a&#38;b&#34;/&#62;&#36;${c}") + gateway("beta.1", "plain")})
    assert found == {"a&#38;b&#34;/&#62;&#36;${c}", 'a&b"/>$${c}', "plain"}


def test_differences_of_xml_show_no_secret_but_whose_changed():
    """A gateway is compared with the one of its name, wherever that stands."""
    before = {"profile.xml": gateway("beta.1", "same") + gateway("gamma.1", "old&#38;1")}
    after = {"profile.xml": gateway("acme.1", "fresh") + gateway("beta.1", "same") + gateway("gamma.1", "new&#38;1")}
    text = "".join(part["prepared"] for part in diff(before, after))
    hidden = '<param name="password" value="********"/>'
    assert f"-      {hidden}\n+      {hidden} (changed)\n" in text
    assert (text.count(hidden), text.count("(changed)")) == (3, 1)
    assert not [word for word in ("old", "new", "same", "fresh") if word in text]


def test_the_journal_is_for_root_alone_and_holds_no_text_of_the_operators(store, engine):
    def dies(*_args):
        raise Killed

    engine.activate = dies
    with pytest.raises(Killed):
        deploy(store, engine, OLD)
    path = os.path.join(store.folder, "journal.json")
    assert mode(path) == 0o600
    assert json.load(open(path))["from"] is None and "key = value" not in open(path).read()


def test_what_waits_for_a_restart_is_remembered_until_then(store):
    engine = Engine(store)
    assert deploy(store, engine, OLD)["restart_needed"] == []
    engine.unseen = ["the transport"]
    assert deploy(store, engine, NEW, check=True)["restart_needed"] == ["the transport"]
    assert deploy(store, engine, NEW)["restart_needed"] == ["the transport"]
    again = deploy(store, engine, NEW)
    assert again["restart_needed"] == ["the transport"] and not again["changed"]
    engine.start = time.time()
    assert deploy(store, engine, NEW)["restart_needed"] == []


def test_what_waited_and_is_taken_back_waits_no_longer(store):
    engine = Engine(store)
    deploy(store, engine, OLD)
    engine.unseen = ["the transport"]
    deploy(store, engine, NEW)
    engine.restart_only = lambda before, files, waiting: []
    assert deploy(store, engine, OLD)["restart_needed"] == []
    del engine.restart_only
    assert deploy(store, engine, OLD)["restart_needed"] == []


@pytest.mark.parametrize("restarted", [False, True])
def test_what_runs_after_a_run_that_was_cut_short_is_what_was_before(store, restarted):
    """Unless the engine was started since."""
    engine = Engine(store)
    deploy(store, engine, OLD)
    store.begin(store.write(NEW), {})
    engine.start = time.time() + 1 if restarted else 0.0
    assert store.in_force(engine.start) == (NEW if restarted else OLD)
    engine.unseen = ["the transport"]
    assert deploy(store, engine, NEW)["restart_needed"] == ([] if restarted else ["the transport"])


def test_what_waits_is_restarted_for_when_that_is_allowed(store):
    engine = Engine(store)
    deploy(store, engine, OLD)
    engine.unseen = ["the transport"]
    deploy(store, engine, NEW)
    assert engine.restarts == 0
    result = deploy(store, engine, NEW, allow_restart=True)
    assert result["restarted"] and engine.restarts == 1


# Registrations


def test_changed_credentials_register_at_once(deployed, engine):
    assert engine.registered == [], "a new registration is made by itself"
    assert deploy(deployed, engine, NEW)["registered_anew"] == ["[a]"]
    assert engine.registered == ["[a]"]
    assert deploy(deployed, engine, NEW)["registered_anew"] == []
    assert deploy(deployed, engine, {**NEW, "more.conf": "y\n"})["registered_anew"] == [] and engine.registered == ["[a]"]


def test_what_is_rolled_back_registers_with_the_former_credentials(deployed, engine):
    engine.rejects = "two"
    with pytest.raises(Refused):
        deploy(deployed, engine, NEW)
    assert engine.registered == ["[a]"] and engine.loaded == OLD


def test_a_run_that_was_cut_short_registers_when_it_is_completed(deployed, engine):
    deployed.begin(deployed.write(NEW), {})
    assert deploy(deployed, engine, NEW)["registered_anew"] == ["[a]"]


def test_differences_leave_out_the_plan_for_programs_but_say_that_it_changed():
    shown = diff({"plan.json": '{"300": "final"}\n', "a.conf": "x\n"}, {"plan.json": '{"300": "next_trunk"}\n', "a.conf": "y\n"})
    assert [entry["prepared"].splitlines()[-1] for entry in shown] == ["+y", "plan.json changes too: the same for the collection's own programs, not shown."]
    assert diff({"plan.json": "{}\n"}, {"plan.json": "{}\n"}) == []
