"""The stand-alone way in: the printed password, the one of one's own, sessions, and how often one may try."""

import asyncio
import contextlib
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest

from admin_ui.auth import Visitor, hashing
from admin_ui.auth.hashing import ScryptHash
from admin_ui.auth.limits import MOST_KEYS, SignInLimits
from admin_ui.auth.password import INITIAL_LASTS, PasswordAuthenticator, PasswordStore, SignInRefused
from admin_ui.auth.sessions import CHOOSING_SECONDS, MOST_SESSIONS, SESSION_SECONDS, Sessions
from admin_ui.errors import SettingsError, StorageError, ValidationError

OWN = "correct horse battery staple"


class Clock:
    """Wall clock and monotonic clock in one."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=self.seconds)


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch):
    monkeypatch.setattr(hashing, "LOG2_N", 4)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return PasswordStore(tmp_path, now=clock.now)


@pytest.fixture
def door(store, clock):
    return PasswordAuthenticator(store, "admin", clock=clock)


def visitor(address: str = "203.0.113.9", **cookies: str) -> Visitor:
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return Visitor(address=address, trusted=False, secure=True, host="admin", headers=(("cookie", cookie),))


def sign_in(door, password, **named):
    return asyncio.run(door.sign_in(visitor(**named), password))


def who(door, token):
    return asyncio.run(door.authenticate(visitor(admin_session=token)))


def test_a_hash_fits_its_password_only():
    made = ScryptHash.of("pässword")

    assert ScryptHash.parse(str(made)).fits("pässword")
    assert ScryptHash.parse(str(made)).fits("pa\u0308ssword")  # the same letter, as another keyboard sends it
    assert not made.fits("password")
    assert ScryptHash.of("pässword") != made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "scrypt",
        "bcrypt:15:8:1:AAAAAAAAAAAAAAAAAAAAAA:AAAA",
        "scrypt:30:8:1:AAAAAAAAAAAAAAAAAAAAAA:" + "A" * 43,
        "scrypt:1:8:1:AAAAAAAAAAAAAAAAAAAAAA:" + "A" * 43,
        "scrypt:15:8:1::" + "A" * 43,
        "scrypt:15:8:1:AAAAAAAAAAAAAAAAAAAAAA:",
        "scrypt:15:8:1:AAAAAAAAAAAAAAAAAAAAAA:!!!!",
        "scrypt:15:99:1:AAAAAAAAAAAAAAAAAAAAAA:" + "A" * 43,
    ],
)
def test_what_is_no_hash_of_ours_does_not_parse(text):
    with pytest.raises(ValueError):
        ScryptHash.parse(text)


def test_there_is_no_password_before_the_first_is_printed(store):
    assert not store.opens
    assert not any(store.check(guess) for guess in ("", "admin", "password"))


def test_the_first_password_is_printed_once_and_only_its_hash_is_kept(store, tmp_path, clock):
    password = store.prepare()

    assert password and len(password) >= 20
    assert store.prepare() is None
    assert PasswordStore(tmp_path, now=clock.now).prepare() is None
    assert password not in (tmp_path / "password.json").read_text()
    assert (tmp_path / "password.json").stat().st_mode & 0o777 == 0o600


def test_two_first_passwords_differ(tmp_path):
    assert PasswordStore(tmp_path / "a").prepare() != PasswordStore(tmp_path / "b").prepare()


def test_the_first_password_is_good_for_one_sign_in_which_may_only_choose_another(door, store):
    token, choosing = sign_in(door, store.prepare())

    assert choosing
    assert who(door, token) is None


def test_the_first_password_is_not_good_for_a_second_sign_in(door, store):
    password = store.prepare()
    sign_in(door, password)

    with pytest.raises(SignInRefused):
        sign_in(door, password)


def test_only_one_of_many_sign_ins_at_once_gets_in_with_the_first_password(store):
    password = store.prepare()
    assert store.check(password)
    got_in = []

    def spend() -> None:
        with contextlib.suppress(SignInRefused):
            got_in.append(store.spend())

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got_in == [True]


def test_the_first_password_ends_after_a_day_and_the_next_start_prints_another(door, store, tmp_path, clock):
    password = store.prepare()
    clock.seconds += INITIAL_LASTS.total_seconds()
    with pytest.raises(SignInRefused):
        sign_in(door, password)

    assert not store.opens
    assert PasswordStore(tmp_path, now=clock.now).prepare() not in (None, password)


def test_a_first_password_that_was_used_and_never_replaced_is_replaced_at_the_next_start(door, store, tmp_path, clock):
    password = store.prepare()
    sign_in(door, password)

    assert PasswordStore(tmp_path, now=clock.now).prepare() not in (None, password)


def choose(door, token, password):
    return asyncio.run(door.choose(visitor(admin_session=token), password))


def test_the_password_of_one_s_own_opens_the_door_from_then_on_also_after_a_restart(door, store, tmp_path, clock):
    first = store.prepare()
    own = choose(door, sign_in(door, first)[0], OWN)
    clock.seconds += 400 * 24 * 3600

    restarted = PasswordStore(tmp_path, now=clock.now)
    assert who(door, own) is None
    assert restarted.prepare() is None
    assert restarted.check(OWN) and not restarted.check(first)


def test_the_session_that_chose_a_password_is_the_admin(door, store):
    token = choose(door, sign_in(door, store.prepare())[0], OWN)

    user = who(door, token)
    assert user is not None
    assert (user.username, user.roles, user.source) == ("admin", {"admin"}, "203.0.113.9")


@pytest.mark.parametrize("password", ["", "short", "a" * 40, "ab" * 20, "x" * 257])
def test_a_weak_password_is_refused_and_the_door_stays_as_it_was(door, store, password):
    token, _ = sign_in(door, store.prepare())

    with pytest.raises(ValidationError):
        choose(door, token, password)
    assert choose(door, token, OWN)


def test_the_printed_password_cannot_be_chosen(door, store):
    first = store.prepare()
    token, _ = sign_in(door, first)

    with pytest.raises(ValidationError):
        choose(door, token, first)


def test_nobody_chooses_a_password_without_the_session_for_it(door, store):
    token, _ = sign_in(door, store.prepare())
    own = choose(door, token, OWN)

    for each in ("", "made-up", token, own):
        with pytest.raises(SignInRefused):
            choose(door, each, OWN + "2")


def test_changing_the_password_asks_for_the_old_one_and_ends_every_other_session(door, store):
    choose(door, sign_in(door, store.prepare())[0], OWN)
    other, mine = (sign_in(door, OWN)[0] for _ in range(2))
    with pytest.raises(SignInRefused):
        asyncio.run(door.change(visitor(admin_session=mine), "wrong", OWN + "2"))

    token = asyncio.run(door.change(visitor(admin_session=mine), OWN, OWN + "2"))

    assert [who(door, each) is not None for each in (other, mine, token)] == [False, False, True]


@pytest.mark.parametrize("step", ["check", "spend"])
def test_a_password_that_is_changed_while_somebody_signs_in_with_it_opens_nothing(door, store, monkeypatch, step):
    choose(door, sign_in(door, store.prepare())[0], OWN)
    real = getattr(store, step)

    def change_meanwhile(*given):
        answer = real(*given)
        store.choose(OWN + "2")
        return answer

    monkeypatch.setattr(store, step, change_meanwhile)
    with pytest.raises(SignInRefused):
        sign_in(door, OWN)


def test_a_session_ends_by_signing_out_and_its_token_cannot_be_used_again(door, store):
    token = choose(door, sign_in(door, store.prepare())[0], OWN)
    door.sign_out(visitor(admin_session=token))

    assert who(door, token) is None


def test_a_new_sign_in_ends_the_session_that_the_browser_had(door, store):
    old = choose(door, sign_in(door, store.prepare())[0], OWN)
    new, _ = sign_in(door, OWN, admin_session=old)

    assert who(door, old) is None
    assert who(door, new) is not None


def test_a_neighbour_s_cookie_of_the_same_name_does_not_end_the_session(door, store):
    token = choose(door, sign_in(door, store.prepare())[0], OWN)
    both = Visitor(
        address="",
        trusted=False,
        secure=True,
        host="a",
        headers=(("cookie", f"admin_session=x; admin_session={token}"),),
    )

    assert asyncio.run(door.authenticate(both)) is not None


def test_a_fixed_hash_needs_no_file_and_cannot_be_changed_here(tmp_path, clock):
    store = PasswordStore(tmp_path, str(ScryptHash.of(OWN)), now=clock.now)
    door = PasswordAuthenticator(store, "admin", clock=clock)

    assert store.prepare() is None
    assert sign_in(door, OWN)[1] is False
    with pytest.raises(ValidationError):
        asyncio.run(door.change(visitor(), OWN, OWN + "2"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"hash": 1}', "\xff", '{"hash": "scrypt:1:1:1:a:b", "chosen": true}']
)
def test_a_damaged_password_file_stops_the_start_and_opens_nothing(tmp_path, content):
    (tmp_path / "password.json").write_text(content, encoding="latin-1")

    with pytest.raises(SettingsError, match="remove it"):
        PasswordStore(tmp_path)


def test_a_password_that_cannot_be_kept_is_not_chosen(door, store, tmp_path):
    token, _ = sign_in(door, store.prepare())
    (tmp_path / "password.json").unlink()
    tmp_path.rmdir()
    tmp_path.write_text("in the way")

    with pytest.raises(StorageError):
        choose(door, token, OWN)
    assert not store.check(OWN)
    tmp_path.unlink()
    tmp_path.mkdir()


@pytest.mark.usefixtures("folders_cannot_be_synced")
def test_a_password_that_is_in_its_file_counts_also_if_it_may_not_last(tmp_path, caplog):
    store = PasswordStore(tmp_path)
    store.choose(OWN)

    assert store.check(OWN)
    assert PasswordStore(tmp_path).check(OWN)
    assert "a power cut may undo it" in caplog.text


def wrong(door, times=1, **named):
    """Try wrong passwords; return how many were looked at."""
    looked_at = 0
    for _ in range(times):
        with pytest.raises(SignInRefused) as refused:
            sign_in(door, "wrong", **named)
        looked_at += refused.value.wait_seconds == 0
    return looked_at


def test_wrong_passwords_of_one_address_are_looked_at_less_and_less(door, store, clock):
    store.prepare()

    assert wrong(door, 50) == 5
    clock.seconds += 21
    assert wrong(door, 50) == 1


def test_wrong_passwords_at_once_do_not_get_past_the_limit(door, store):
    store.prepare()

    async def all_at_once():
        return await asyncio.gather(*(door.sign_in(visitor(), "wrong") for _ in range(40)), return_exceptions=True)

    refusals = asyncio.run(all_at_once())
    assert sum(refusal.wait_seconds == 0 for refusal in refusals) == 5


def test_wrong_passwords_of_many_addresses_are_limited_together(door, store):
    store.prepare()

    assert sum(wrong(door, 3, address=f"198.51.{number}.1") for number in range(100)) <= 40


def test_an_admin_gets_in_from_a_fresh_address_seconds_after_a_flood(door, store, clock):
    choose(door, sign_in(door, store.prepare())[0], OWN)
    for number in range(100):
        wrong(door, 3, address=f"198.51.{number}.1")
    clock.seconds += 2

    assert sign_in(door, OWN, address="192.0.2.1")


def test_those_who_fail_cannot_use_up_what_is_kept_for_others():
    limits, failing = SignInLimits(0.0), [f"198.51.100.{number}" for number in range(20)]
    for address in failing:
        assert limits.take(address, None, 0.0) == 0
    again = [limits.take(address, None, 1.0) for address in failing for _ in range(4)]

    assert again.count(0) == 20
    assert limits.take(failing[0], None, 1.0) > 0
    assert limits.take("192.0.2.1", None, 1.0) == 0


def test_a_browser_that_was_signed_in_gets_in_through_any_flood_even_from_the_same_address(door, store):
    choose(door, sign_in(door, store.prepare())[0], OWN)
    mark = door.browser_mark()
    wrong(door, 50)
    for number in range(100):
        wrong(door, 3, address=f"198.51.{number}.1")

    assert sign_in(door, OWN, admin_browser=mark)


def test_a_known_browser_has_a_limit_too_and_a_forged_mark_is_none(door, store):
    store.prepare()
    mark = door.browser_mark()

    assert wrong(door, 20, admin_browser=mark) == 5
    assert sum(wrong(door, 1, admin_browser=f"{number}.{mark.split('.')[1]}") for number in range(20)) == 5


def test_another_password_forgets_the_browsers_that_knew_the_old_one(door, store):
    token, _ = sign_in(door, store.prepare())
    mark = door.browser_mark()
    choose(door, token, OWN)
    wrong(door, 50)

    with pytest.raises(SignInRefused, match="Too many"):
        sign_in(door, OWN, admin_browser=mark)


def test_a_subscriber_s_ipv6_addresses_count_as_one():
    limits = SignInLimits(0.0)
    network = ip_network("2001:db8::/64")

    allowed = sum(limits.take(str(network[number]), None, 0.0) == 0 for number in range(1, 100))
    assert allowed == 5


def test_the_table_of_addresses_stays_small():
    limits = SignInLimits(0.0)
    for number in range(3 * MOST_KEYS):
        limits.take(f"address{number}", None, number * 1.0)

    assert len(limits._budgets) <= MOST_KEYS


def test_sessions_end_in_time_and_are_bounded():
    sessions = Sessions()
    tokens = [sessions.start(0.0, choosing=False) for _ in range(MOST_SESSIONS + 1)]
    choosing = sessions.start(0.0, choosing=True)

    assert sessions.find(tokens[0], 1.0) is None
    assert sessions.find(tokens[-1], SESSION_SECONDS - 1) is not None
    assert sessions.find(tokens[-1], SESSION_SECONDS) is None
    assert sessions.find(choosing, CHOOSING_SECONDS) is None


def test_what_is_kept_of_a_session_does_not_open_it():
    sessions = Sessions()
    sessions.start(0.0, choosing=False)

    assert all(sessions.find(kept, 1.0) is None for kept in sessions._sessions)
