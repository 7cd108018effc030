"""The conformance tests themselves: correct stores pass, and every mistake is caught by the test that is about it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asgi_session.testing import StoreContract

from . import broken

ROOT = Path(__file__).parents[2]

CAUGHT_BY = {
    broken.GetReturnsTheExpired: "test_get_of_an_expired_record_is_none",
    broken.GetCountsTheTtlFromNow: "test_the_end_of_a_record_without_expiry_is_set_once",
    broken.GetMakesUpARecord: "test_get_of_an_unknown_id_is_none",
    broken.GetReturnsNoExpiry: "test_get_gives_a_record_of_text_and_unix_seconds",
    broken.GetConsumes: "test_get_changes_nothing",
    broken.GetReturnsBytes: "test_get_gives_a_record_of_text_and_unix_seconds",
    broken.GetRewritesJson: "test_payloads_are_not_rewritten",
    broken.GetReadsLatin1: "test_payloads_with_text_of_any_script_come_back_unaltered",
    broken.GetCutsOff: "test_a_payload_of_a_megabyte_comes_back_unaltered",
    broken.CreateOverwrites: "test_create_never_overwrites_a_live_record",
    broken.CreateOverwritesButSaysNo: "test_create_never_overwrites_a_live_record",
    broken.CreateOverwritesTheEqual: "test_create_of_an_equal_record_is_refused_too",
    broken.CreateStumblesOverTheExpired: "test_create_takes_the_id_of_an_expired_record",
    broken.CreateLeavesATombstone: "test_create_takes_the_id_of_a_destroyed_record",
    broken.CreateChecksThenWrites: "test_of_concurrent_creates_exactly_one_wins",
    broken.CreateReturnsNone: "test_create_stores_a_record_under_a_free_id",
    broken.CreateFillsInTheRecord: "test_create_does_not_change_the_record_that_it_is_given",
    broken.CreateIgnoresTheExpiry: "test_create_stores_a_record_under_a_free_id",
    broken.CreateTakesNoneForImmortal: "test_create_with_expires_none_means_ttl_from_now",
    broken.ReplaceUpserts: "test_replace_of_an_unknown_id_creates_nothing",
    broken.ReplaceRevivesTheExpired: "test_replace_of_an_expired_record_writes_nothing",
    broken.ReplaceIgnoresExpected: "test_replace_of_a_changed_record_writes_nothing",
    broken.ReplaceComparesTheExpiryToo: "test_a_touch_in_between_does_not_make_replace_fail",
    broken.ReplaceIgnoresCase: "test_replace_compares_payloads_exactly",
    broken.ReplaceComparesAscii: "test_replace_compares_text_beyond_ascii",
    broken.ReplaceChecksThenWrites: "test_no_update_is_lost_among_concurrent_writers",
    broken.ReplaceCountsRowsModified: "test_replace_by_an_equal_record_succeeds",
    broken.ReplaceKeepsTheExpiry: "test_replace_overwrites_the_record_that_was_read",
    broken.ReplaceReturnsANumber: "test_replace_overwrites_the_record_that_was_read",
    broken.ReplaceFailsAtRandom: "test_no_update_is_lost_among_concurrent_writers",
    broken.ReplaceOverlooksAnEqualPayload: "test_replace_by_an_equal_payload_stores_the_new_expiry",
    broken.ReplaceFillsInTheRecord: "test_replace_does_not_change_the_records_that_it_is_given",
    broken.ReplaceComparesAPrefix: "test_replace_is_not_taken_in_by_a_payload_nearly_the_same",
    broken.ReplaceOverlooksBlanks: "test_replace_is_not_taken_in_by_a_payload_nearly_the_same",
    broken.ReplaceCutsOff: "test_a_payload_of_a_megabyte_comes_back_unaltered",
    broken.ReplaceWritesLatin1: "test_payloads_with_text_of_any_script_come_back_unaltered",
    broken.TouchCreates: "test_touch_of_an_unknown_id_creates_nothing",
    broken.TouchLeavesAStub: "test_touch_of_an_unknown_id_creates_nothing",
    broken.TouchRevivesTheExpired: "test_touch_of_an_expired_record_does_not_revive_it",
    broken.TouchAltersThePayload: "test_touch_never_alters_the_payload",
    broken.TouchReadsThenWrites: "test_touches_beside_a_replace_do_not_undo_it",
    broken.TouchFetchesThenWrites: "test_a_replace_that_overtakes_touches_is_not_undone_by_them",
    broken.TouchComparesNothing: "test_touch_spares_a_record_other_than_the_expected_one",
    broken.TouchComparesThenWrites: "test_touches_of_the_expected_record_do_not_undo_the_age_that_a_replace_sets",
    broken.TouchRefusesExpected: "test_touch_of_the_expected_record_sets_its_expiry",
    broken.TouchIsMarkedByMistake: "test_a_method_that_is_marked_never_to_suspend_does_not",
    broken.TouchIgnoresNone: "test_touch_with_none_sets_the_full_ttl",
    broken.TouchOnlyLengthens: "test_touch_sets_an_earlier_expiry",
    broken.TouchDoesNothing: "test_touch_sets_a_later_expiry",
    broken.TouchCountsRowsModified: "test_touch_with_the_same_expiry_succeeds",
    broken.TouchReturnsNone: "test_touch_sets_a_later_expiry",
    broken.DestroyDoesNothing: "test_destroy_deletes_a_live_record",
    broken.DestroyAlwaysSaysTrue: "test_destroy_of_an_unknown_id_is_false",
    broken.DestroyCountsTheExpired: "test_destroy_of_an_expired_record_is_false",
    broken.DestroyIgnoresExpected: "test_destroy_spares_a_record_other_than_the_expected_one",
    broken.DestroyComparesTheExpiryToo: "test_destroy_ignores_the_expected_expiry",
    broken.DestroyIgnoresCase: "test_destroy_compares_payloads_exactly",
    broken.DestroyRefusesExpected: "test_destroy_deletes_the_expected_record",
    broken.DestroyChecksThenDeletes: "test_of_concurrent_destroys_exactly_one_is_true",
    broken.DestroyFetchesThenDeletes: "test_of_a_replace_and_a_destroy_of_one_expected_record_exactly_one_wins",
    broken.DestroyComparesAsJson: "test_destroy_is_not_taken_in_by_a_payload_nearly_the_same",
    broken.DestroyClearsAll: "test_writing_one_id_leaves_the_others_alone",
    broken.IdsIgnoreCase: "test_similar_ids_do_not_mix",
    broken.IdsAreCutOff: "test_any_text_is_an_id",
    broken.IdsAreShort: "test_similar_ids_do_not_mix",
    broken.TimeIsCappedAt30Days: "test_an_expiry_400_days_away_is_kept",
    broken.TimeIsShortened: "test_a_record_lives_until_its_expiry",
    broken.TimePastMeansForever: "test_a_record_created_with_a_past_expiry_is_never_seen",
    broken.TtlIsNotPositive: "test_the_store_is_a_store_with_a_positive_ttl",
    broken.IdsIncludeTheExpired: "test_ids_lists_no_expired_record",
    broken.IdsRepeat: "test_ids_lists_every_live_record_once",
    broken.LengthCountsTheExpired: "test_length_counts_no_expired_record",
    broken.LengthIsAGuess: "test_length_counts_live_records",
    broken.ClearForgetsSome: "test_clear_deletes_every_record",
    broken.PurgeRemovesTheLiving: "test_purge_removes_expired_records_only",
    broken.PurgeReturnsNothing: "test_purge_removes_expired_records_only",
    broken.PurgeCountsEverything: "test_purge_removes_expired_records_only",
    broken.EnteringGivesAnother: "test_a_store_is_its_own_context_manager",
    broken.ClosesOnlyOnce: "test_aclose_may_be_called_twice",
}

RULES = [name for name in dir(StoreContract) if name.startswith("test_")]


def run(folder: Path, stores: list[type[broken.Correct]], *, mode: str, decorator: str) -> str:
    """What pytest prints when a project of its own, in `folder`, tests these stores with the kit."""
    settings = f"asyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    (folder / "pytest.ini").write_text(f"[pytest]\n{settings}")
    code = f"import {decorator.partition('.')[0]}\n"
    code += "from asgi_session.testing import StoreContract\nfrom tests.stores import broken\n"
    for store in stores:
        name = store.__name__
        code += f"\n\nclass Test{name}(StoreContract):\n    reads_time_time = True\n\n"
        code += f"    @{decorator}\n    async def store(self):\n        return broken.{name}()\n"
    (folder / "test_stores.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=line", "-p", "no:cacheprovider", "test_stores.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stderr + done.stdout


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report on all broken stores, of two runs side by side."""
    stores = list(CAUGHT_BY)
    halves = [(tmp_path_factory.mktemp("broken"), half) for half in (stores[::2], stores[1::2])]
    with ThreadPoolExecutor() as pool:
        return "".join(pool.map(lambda half: run(*half, mode="auto", decorator="pytest.fixture"), halves))


@pytest.fixture(scope="module")
def failures(output: str) -> dict[str, set[str]]:
    """Store to the tests that rejected it."""
    found = defaultdict(set)
    for store, test in re.findall(r"^FAILED test_stores\.py::Test(\w+)::(\w+)", output, re.MULTILINE):
        found[store].add(test)
    return found


@pytest.mark.parametrize(
    ("mode", "decorator"), [("auto", "pytest.fixture"), ("strict", "pytest_asyncio.fixture")], ids=["auto", "strict"]
)
def test_a_correct_store_passes_in_either_mode_of_pytest_asyncio(tmp_path: Path, mode: str, decorator: str) -> None:
    printed = run(tmp_path, [broken.ComparesWhenTouched], mode=mode, decorator=decorator)
    assert re.fullmatch(r"\d+ passed in .*", printed.splitlines()[-1]), printed


def test_optional_methods_that_a_store_does_not_have_are_skipped(tmp_path: Path) -> None:
    printed = run(tmp_path, [broken.WithoutOptionalMethods], mode="auto", decorator="pytest.fixture")
    assert re.fullmatch(r"\d+ passed, 9 skipped in .*", printed.splitlines()[-1]), printed


@pytest.mark.parametrize("store", CAUGHT_BY, ids=lambda store: store.__name__)
def test_a_mistake_is_caught_by_the_test_about_it(failures: dict[str, set[str]], store: type[broken.Correct]) -> None:
    assert CAUGHT_BY[store] in failures[store.__name__]


@pytest.mark.parametrize("test", RULES)
def test_every_rule_catches_some_mistake(failures: dict[str, set[str]], test: str) -> None:
    assert any(test in caught for caught in failures.values())


def test_a_failure_names_the_rule_that_was_broken(output: str) -> None:
    assert "The store broke a rule: create() returns False where a record lives" in output


def test_every_mistake_in_the_collection_is_checked() -> None:
    stores = {kind for kind in vars(broken).values() if isinstance(kind, type) and issubclass(kind, broken.Correct)}
    assert stores - set(CAUGHT_BY) == {broken.Correct, broken.ComparesWhenTouched, broken.WithoutOptionalMethods}
