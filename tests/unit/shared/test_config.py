"""Settings: read once, every fault named at once, secrets never in a text."""

import os
from email.header import decode_header, make_header
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import config, setting_rules
from shared.config import Settings, check, load, load_one
from shared.domain import OnUnknown
from shared.errors import SettingsError

GOOD = {
    "SERVER_URL": "https://mail.example.com",
    "API_KEY": "0123456789abcdef",
    "AWS_SES_FROM_EMAIL": "news@example.com",
}


def faults(changes: dict[str, str], base: dict[str, str] = GOOD) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        check({**base, **changes})
    return caught.value.faults


@pytest.fixture
def dotenv(tmp_path):
    def write(content: str | bytes) -> Path:
        path = tmp_path / ".env"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


# ── defaults and forms ──


def test_three_settings_are_enough():
    settings = check(GOOD)
    assert settings.server_port == 8080
    assert settings.max_send_per_second == 24
    assert settings.on_unknown is OnUnknown.CONFIRM_THEN_RESEND
    assert settings.api_key == ("0123456789abcdef",)
    assert settings.zone.key == "Asia/Seoul"
    assert settings.database == Path("data/ses-sender.db")


@pytest.mark.against("H74", "H76")
def test_blanks_and_line_ends_around_a_value_are_no_part_of_it():
    settings = check({**GOOD, "MAX_SEND_PER_SECOND": "24 ", "API_KEY": "0123456789abcdef\r"})
    assert (settings.max_send_per_second, settings.api_key) == (24, ("0123456789abcdef",))


MOUNTS = """overlay / overlay rw 0 0
/dev/sda1 /var ext4 rw 0 0
server:/export /mnt/share nfs4 rw,vers=4.2 0 0
//server/x /mnt/my\\040files cifs rw 0 0
/dev/sdb1 /mnt/share/local xfs rw 0 0
server:/export /mnt/twice nfs rw 0 0
tmpfs /mnt/twice tmpfs rw 0 0
odd
"""


@pytest.mark.against("H79")
@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib/mail", "ext4"),
        ("/variable", "overlay"),
        ("/mnt/share", "nfs4"),
        ("/mnt/share/data/deep", "nfs4"),
        ("/mnt/share/../share/x", "nfs4"),
        ("/mnt/share/local/data", "xfs"),
        ("/mnt/my files/data", "cifs"),
        ("/mnt/twice/data", "tmpfs"),
    ],
)
def test_a_folder_on_the_network_is_refused_for_the_wal(folder, kind, monkeypatch):
    assert setting_rules.file_system(Path(folder), MOUNTS) == kind
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: MOUNTS)
    if kind in {"nfs4", "cifs"}:
        [fault] = faults({"DATA_DIR": folder})
        assert fault.startswith(f"DATA_DIR lies on {kind}")
    else:
        assert check({**GOOD, "DATA_DIR": folder}).data_dir == Path(folder)


def test_without_a_list_of_mounts_any_folder_will_do(monkeypatch):
    def refuse(*_, **__):
        raise OSError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert check({**GOOD, "DATA_DIR": "/mnt/share"}).data_dir == Path("/mnt/share")


def test_lists_are_split_at_commas_and_trimmed():
    keys = check({**GOOD, "API_KEY": " aaaaaaaaaaaaaaaa , bbbbbbbbbbbbbbbb ,"}).api_key
    assert keys == ("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb")


@pytest.mark.parametrize(
    ("text", "rate"), [("auto", None), ("AUTO", None), ("14", 14), ("0.5", 0.5)]
)
def test_the_rate_is_a_number_or_auto(text, rate):
    assert check({**GOOD, "MAX_SEND_PER_SECOND": text}).max_send_per_second == rate


def test_the_urls_last_slash_is_dropped_so_that_paths_can_be_appended():
    assert check({**GOOD, "SERVER_URL": "http://127.0.0.1:8080/"}).server_url == (
        "http://127.0.0.1:8080"
    )


def test_a_home_folder_is_written_out():
    assert check({**GOOD, "DATA_DIR": "~/mail"}).data_dir == Path.home() / "mail"


@pytest.mark.parametrize("sender", ["news@example.com", "Example News <news@example.com>"])
def test_from_may_have_a_display_name(sender):
    assert check({**GOOD, "AWS_SES_FROM_EMAIL": sender}).aws_ses_from_email == sender


@pytest.mark.parametrize("name", ["느린 책방", '"Müller, Söhne"', "긴 이름 " * 20])
def test_a_display_name_that_is_not_ascii_is_encoded_as_ses_takes_it(name):
    sender = check({**GOOD, "AWS_SES_FROM_EMAIL": f"{name} <news@example.com>"}).aws_ses_from_email
    assert sender.isascii()
    assert sender.endswith("?= <news@example.com>")
    words = sender.removesuffix(" <news@example.com>").split(" ")
    assert all(len(word) <= 75 for word in words)
    assert str(make_header(decode_header(" ".join(words)))) == name.strip().strip('"')


@pytest.mark.parametrize(
    ("rust_log", "level"),
    [
        ("debug", "debug"),
        ("info,sqlx=warn", "info"),
        ("sqlx=warn,error", "error"),
        ("WARN", "warning"),
        ("ses_sender=trace", "info"),
        ("nonsense", "info"),
        ("", "info"),
    ],
)
def test_the_ancestors_rust_log_is_understood(rust_log, level):
    assert check({**GOOD, "RUST_LOG": rust_log}).log_level == level


def test_log_level_outweighs_rust_log():
    assert check({**GOOD, "RUST_LOG": "debug", "LOG_LEVEL": "error"}).log_level == "error"


# ── faults ──


@pytest.mark.against("F1")
def test_ten_wrong_settings_are_ten_sentences_at_once():
    wrong = {
        "SERVER_PORT": "70000",
        "SERVER_URL": "mail.example.com",
        "API_KEY": "short",
        "AWS_REGION": "Seoul",
        "AWS_SES_FROM_EMAIL": "news",
        "MAX_SEND_PER_SECOND": "fast",
        "SES_SEND_API": "smtp",
        "ON_UNKNOWN": "guess",
        "SNS_TOPIC_ARN": "my-topic",
        "SCHEDULE_TIMEZONE": "Asia/Soul",
    }
    found = faults(wrong)
    assert len(found) == 10
    assert {fault.split()[0] for fault in found} == set(wrong)


def test_what_is_missing_is_named_with_the_way_out():
    assert sorted(fault.split()[0] for fault in faults({}, base={})) == sorted(GOOD)
    assert all("in the environment or in .env" in fault for fault in faults({}, base={}))


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SERVER_PORT", "0"),
        ("SERVER_PORT", "eighty"),
        ("SERVER_PORT", "80.5"),
        ("SERVER_HOST", "127.0.0.1:80"),
        ("SERVER_HOST", "http://localhost"),
        ("SERVER_URL", "ftp://mail.example.com"),
        ("SERVER_URL", "https://"),
        ("SERVER_URL", "https://mail example.com"),
        ("SERVER_URL", "https://mail.example.com:99999"),
        pytest.param(
            "SERVER_URL", "https://mail.example.com/api", marks=pytest.mark.against("H75")
        ),
        ("SERVER_URL", "https://mail.example.com?x=1"),
        ("SERVER_URL", "https://[::1"),
        pytest.param("SERVER_URL", "mail.example.com", marks=pytest.mark.against("H75")),
        pytest.param("SERVER_URL", "https://a.example\nX: y", marks=pytest.mark.against("H75")),
        ("API_KEY", ","),
        pytest.param("API_KEY", "0123456789abcdef\rx", marks=pytest.mark.against("H76")),
        ("API_KEY", "0123456789abcdéf"),
        ("API_KEY", "change-me-to-a-long-random-key"),
        ("API_KEY", "0123456789abcdef,short"),
        ("AWS_REGION", "us-east"),
        pytest.param("AWS_REGION", "us-east-1.evil.com", marks=pytest.mark.against("H78")),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SES_FROM_EMAIL", "News <news@example.com"),
        ("AWS_SES_FROM_EMAIL", "뉴스@example.com"),
        ("AWS_SES_FROM_EMAIL", "news@뉴스.example"),
        pytest.param(
            "AWS_SES_FROM_EMAIL",
            "a@example.com\nBcc: b@example.com",
            marks=pytest.mark.against("H77"),
        ),
        ("AWS_SES_CONFIGURATION_SET", "my set"),
        pytest.param("MAX_SEND_PER_SECOND", "0", marks=pytest.mark.against("H74")),
        pytest.param("MAX_SEND_PER_SECOND", "-1", marks=pytest.mark.against("H74")),
        pytest.param("MAX_SEND_PER_SECOND", "1e9", marks=pytest.mark.against("H74")),
        pytest.param("MAX_SEND_PER_SECOND", "2O", marks=pytest.mark.against("H74", "F1")),
        ("MAX_SEND_PER_SECOND", "nan"),
        ("MAX_SEND_PER_SECOND", "inf"),
        ("SES_CLIENT", "requests"),
        ("UNKNOWN_AFTER", "0"),
        ("UNKNOWN_AFTER", "5 minutes"),
        ("SNS_TOPIC_ARN", "arn:aws:sns:ap-northeast-2:123:t"),
        ("SNS_CERT_HOSTS", "sns.example.com"),
        ("SNS_CERT_HOSTS", "127.0.0.1.evil.example:80"),
        ("SNS_CERT_HOSTS", "127.0.0.1:port"),
        ("SENDER_WORKERS", "0"),
        ("SENDER_WORKERS", "65"),
        ("DB_CACHE_MB", "-1"),
        ("SCHEDULE_TIMEZONE", "../../etc/passwd"),
        ("TRUSTED_PROXIES", "proxy.example.com"),
        ("STATS_SOCKET", "tcp://0.0.0.0:5557"),
        ("STATS_SOCKET", "tcp://127.0.0.1:99999"),
        ("STATS_SOCKET", "ipc://"),
        pytest.param("STATS_SOCKET", "tcp://127.0.0.1:8080", marks=pytest.mark.against("H79")),
        pytest.param("SERVER_PORT", "5557", marks=pytest.mark.against("H79")),
        ("STATS_SOCKET", "ipc://" + "x" * 108),
        ("SENTRY_DSN", "sentry.example.com"),
        ("SENTRY_TRACES_SAMPLE_RATE", "1.5"),
        ("SENTRY_TRACES_SAMPLE_RATE", "nan"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_one_wrong_value_is_one_sentence_about_it(variable, text):
    [fault] = faults({variable: text})
    assert variable in fault


@pytest.mark.against("A28", "H76")
@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("API_KEY", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2\x00"),
        ("AWS_ACCESS_KEY_ID", "hunter2"),
        ("SENTRY_DSN", "https://hunter2@"),
        ("SERVER_URL", "https://user:hunter2@mail.example.com"),
    ],
)
def test_a_secret_is_in_no_fault(variable, text):
    assert not any("hunter2" in fault for fault in faults({variable: text}))


@pytest.mark.against("A28")
def test_the_settings_can_be_shown_without_their_secrets():
    shown = config.shown(
        check(
            {
                **GOOD,
                "AWS_ACCESS_KEY_ID": "hunter2",
                "AWS_SECRET_ACCESS_KEY": "hunter2",
                "SENTRY_DSN": "https://hunter2@sentry.example.com/1",
                "MAX_SEND_PER_SECOND": "auto",
                "SNS_CERT_HOSTS": "127.0.0.1:4579,localhost:1",
            }
        )
    )
    assert "hunter2" not in str(shown)
    assert GOOD["API_KEY"] not in str(shown)
    assert (shown["API_KEY"], shown["MAX_SEND_PER_SECOND"]) == ("set", "auto")
    assert shown["SNS_CERT_HOSTS"] == "127.0.0.1:4579,localhost:1"
    assert shown["ON_UNKNOWN"] == "confirm_then_resend"


def test_every_secret_is_a_setting():
    assert set(Settings.__struct_fields__) >= config.SECRETS


@given(st.dictionaries(st.sampled_from([f.upper() for f in Settings.__struct_fields__]), st.text()))
def test_no_text_whatever_makes_anything_but_settings_or_named_faults(raw):
    try:
        check(raw)
    except SettingsError as error:
        assert error.faults  # noqa: PT017 - either end is right


@pytest.mark.against("A31")
def test_paths_that_any_user_may_read_are_named(tmp_path, monkeypatch):
    folder, file = tmp_path / "data", tmp_path / "env"
    folder.mkdir(mode=0o755)
    file.touch()
    file.chmod(0o644)
    monkeypatch.setattr(os, "environ", {"SES_SENDER_ENV_FILE": str(file)})
    settings = check({**GOOD, "DATA_DIR": str(folder)})
    assert [line.split()[0] for line in config.exposed(settings)] == [str(file), str(folder)]
    folder.chmod(0o750)
    file.chmod(0o640)
    assert config.exposed(settings) == []
    file.unlink()
    assert config.exposed(settings) == []


# ── environment and file ──


def test_the_environment_wins_over_the_file(dotenv):
    path = dotenv("SERVER_PORT=1\nSERVER_HOST=localhost\n")
    settings = load({**GOOD, "SERVER_PORT": "2"}, path)
    assert (settings.server_port, settings.server_host) == (2, "localhost")


def test_an_empty_variable_counts_as_not_set(dotenv):
    path = dotenv("SERVER_PORT=\nSERVER_HOST=localhost\n")
    settings = load({**GOOD, "SERVER_HOST": "", "MAX_SEND_PER_SECOND": "  "}, path)
    assert settings.server_port == 8080
    assert settings.server_host == "localhost"
    assert settings.max_send_per_second == 24


@pytest.mark.against("F1")
@pytest.mark.parametrize(
    "content",
    [
        "SERVER_PORT=9000\nSERVER_HOST=localhost\n",
        "SERVER_PORT=9000\r\nSERVER_HOST=localhost\r\n",
        "\ufeffSERVER_PORT=9000\nSERVER_HOST=localhost",
        "export SERVER_PORT='9000'\n\n# a comment\nSERVER_HOST = \"localhost\" # another\n",
    ],
    ids=["plain", "CRLF", "BOM", "shell"],
)
def test_the_file_may_come_from_any_editor(dotenv, content):
    settings = load(GOOD, dotenv(content))
    assert (settings.server_port, settings.server_host) == (9000, "localhost")


def test_a_dollar_in_the_file_is_a_dollar(dotenv):
    path = dotenv("API_KEY=0123456789$HOME${HOME}\n")
    assert load({k: v for k, v in GOOD.items() if k != "API_KEY"}, path).api_key == (
        "0123456789$HOME${HOME}",
    )


@pytest.mark.against("F1")
@pytest.mark.parametrize("line", ['API_KEY="hunter2hunter2hunter2', "API_KEY", "=hunter2"])
def test_a_line_that_cannot_be_read_is_named_by_number_not_skipped(dotenv, line):
    path = dotenv(f"SERVER_PORT=9000\n{line}\n")
    with pytest.raises(SettingsError) as caught:
        load({**GOOD, "SERVER_HOST": "a:b"}, path)
    assert any("line 2" in fault for fault in caught.value.faults)
    assert any("SERVER_HOST" in fault for fault in caught.value.faults)
    assert "hunter2" not in str(caught.value)


@pytest.mark.against("F1")
def test_f1_a_file_cut_at_any_byte_is_settings_of_it_or_named_faults(dotenv):
    """What stands in it is read as it stands, or refused; never another value in its place."""
    whole = "".join(f"{k}='{v}'\n" for k, v in GOOD.items()) + 'MAX_SEND_PER_SECOND="24"\n'
    full = load({}, dotenv(whole))
    taken = 0
    for cut in range(len(whole)):
        try:
            found = load({}, dotenv(whole[:cut]))
        except SettingsError as error:
            assert error.faults  # noqa: PT017 - either end is right
            continue
        taken += 1
        for name in Settings.__struct_fields__:
            assert getattr(found, name) == getattr(full, name)
    assert taken > 0


@pytest.mark.against("F1")
@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", {"SERVER_URL", "API_KEY", "AWS_SES_FROM_EMAIL"}),
        ("API_KEY=\nSERVER_PORT=\n", {"SERVER_URL", "API_KEY", "AWS_SES_FROM_EMAIL"}),
        ("SERVER_URL=https://a.example\nAPI_KEY=\nMAX_SEND_PER_SECOND=2O\n",
         {"API_KEY", "AWS_SES_FROM_EMAIL", "MAX_SEND_PER_SECOND"}),
        ("SERVER_URL=a.example\r\nAPI_KEY=short\r\nSERVER_PORT=80 80\r\n",
         {"SERVER_URL", "API_KEY", "AWS_SES_FROM_EMAIL", "SERVER_PORT"}),
        ("\ufeffSERVER_URL=https://a.example\nAWS_SES_FROM_EMAIL=x\n",
         {"API_KEY", "AWS_SES_FROM_EMAIL"}),
    ],
)  # fmt: skip
def test_f1_all_that_is_wrong_in_a_file_is_said_at_once(dotenv, content, named):
    with pytest.raises(SettingsError) as caught:
        load({}, dotenv(content))
    assert {fault.split()[0] for fault in caught.value.faults} == named


@pytest.mark.against("F1")
def test_a_file_that_is_no_text_is_a_fault(dotenv):
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(GOOD, dotenv(b"SERVER_HOST=\xff\xfe\n"))


def test_a_missing_file_is_no_fault_unless_it_was_named(tmp_path):
    assert load(GOOD, tmp_path / "none").server_port == 8080
    with pytest.raises(SettingsError, match="SES_SENDER_ENV_FILE"):
        load({**GOOD, "SES_SENDER_ENV_FILE": str(tmp_path / "none")})


def test_what_the_file_says_of_aws_reaches_boto3(dotenv, monkeypatch):
    monkeypatch.setattr(os, "environ", {**GOOD, "AWS_PROFILE": "mine"})
    path = dotenv("AWS_PROFILE=theirs\nAWS_SESSION_TOKEN=token\nSERVER_PORT=9000\n")
    assert load(dotenv=path).server_port == 9000
    assert os.environ["AWS_PROFILE"] == "mine"
    assert os.environ["AWS_SESSION_TOKEN"] == "token"
    assert "SERVER_PORT" not in os.environ


def test_one_setting_can_be_read_alone(dotenv):
    path = dotenv("DATA_DIR=/var/lib/mail\nSERVER_PORT=wrong\n")
    assert load_one("DATA_DIR", {}, path) == Path("/var/lib/mail")
    assert load_one("STATS_SOCKET", {}, path) == "tcp://127.0.0.1:5557"
    with pytest.raises(SettingsError, match="STATS_SOCKET"):
        load_one("STATS_SOCKET", {"STATS_SOCKET": "udp://x"}, path)
    with pytest.raises(SettingsError, match="SERVER_PORT"):
        load_one("SERVER_PORT", {}, path)


@pytest.mark.parametrize(
    ("environ", "simulated"),
    [
        ({}, False),
        ({"AWS_ENDPOINT_URL_SESV2": "http://127.0.0.1:4579"}, True),
        ({"AWS_ENDPOINT_URL": "http://localhost:4579"}, True),
        ({"AWS_ENDPOINT_URL_SESV2": "http://[::1]:4579"}, True),
        ({"AWS_ENDPOINT_URL_SESV2": "https://email.ap-northeast-2.amazonaws.com"}, False),
        ({"AWS_ENDPOINT_URL_SESV2": "https://127.example.com"}, False),
    ],
)
def test_a_loopback_endpoint_is_a_simulator(environ, simulated):
    assert config.is_simulated(environ) is simulated
