"""Keys, tokens and passwords, and the code that talks about them."""

import pytest

from tasks.core.privacy.credentials import ASSIGNED_SECRET, KEYS_AND_TOKENS, entropy_bits, looks_random

# Made-up values, joined here so that no scanner takes this file for a leak.
TOKENS = [
    "AKIA" + "Q3EGRWHY2PFD7XZ2",
    "gh" + "p_Zsnmeu7Ro6SnV2Jv2K8BkgbQs7mz762m0snk",
    "github" + "_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ",
    "gl" + "pat-MhB31sM1d2XHooxJ85oc",
    "sk" + "-proj-7VxyZqja8gjkbGQa8CCDQPqwtF0IKzke4WKN",
    "sk" + "-ant-api03-tF0IKzke4WKNVgPlzvymgHqTXLYHCO3EFNln",
    "xo" + "xb-2412345678901-2498765432109-XLYHCO3EFNlnuPONGs4B0wj4",
    "sk" + "_live_BLE2SjFJNPBnJFhNe7GuqX5O",
    "AI" + "zaSy2sOZkiUmLH9rbtzy9kSlDFpShDahBoOAu",
    "np" + "m_Zsnmeu7Ro6SnV2Jv2K8BkgbQs7mz762m0snk",
    "hf" + "_MhB31sM1d2XHooxJ85octkFGSrFKt4op8f",
    "SG" + ".7VxyZqja8gjkbGQa8CCDQP.tF0IKzke4WKNVgPlzvymgHqTXLYHCO3EFNlnuPONGs4",
    "ey" + "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
]


def found(text: str) -> list[str]:
    """Return the secrets in `text`."""
    return [
        text[span.start : span.end] for pattern in (*KEYS_AND_TOKENS, ASSIGNED_SECRET) for span in pattern.find(text)
    ]


@pytest.mark.parametrize("token", TOKENS)
def test_issuers_formats_are_known(token: str) -> None:
    assert token in found(f"the value {token} leaked")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password=hunter2", "hunter2"),
        ('DB_PASSWORD: "Tr0ub4dor&3"', "Tr0ub4dor&3"),
        ("the password is kitten-Lamp_42.", "kitten-Lamp_42"),
        ("Passwort: Sommer2024!", "Sommer2024!"),
        ("passwd => q1W2e3R4t5", "q1W2e3R4t5"),
        ("password: Z(7)0N_ePe", "Z(7)0N_ePe"),
        ("password: $hbQ!R6Nx7", "$hbQ!R6Nx7"),
        ("apikey=b7f9d1c3e5a7093b1d5f7a9c", "b7f9d1c3e5a7093b1d5f7a9c"),
        ('{"auth_token": "7f3b9c1de4a84f0c"}', "7f3b9c1de4a84f0c"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG"),
        ("SECRET_KEY = b'9x&2kq7!z4mw8v'", "9x&2kq7!z4mw8v"),
        ("Authorization: Bearer UGeNSI9kPH4mBLvwuhHQrhvCO1NY", "UGeNSI9kPH4mBLvwuhHQrhvCO1NY"),
        ("redis://:s3cr3tpass9@cache:6379/0", "s3cr3tpass9"),
    ],
)
def test_what_is_assigned_to_a_secret_name_is_found(text: str, secret: str) -> None:
    assert found(text) == [secret]


@pytest.mark.parametrize(
    "text",
    [
        "password=None",
        "password: str = ...",
        "token = secrets.token_hex(16)",
        'api_key = os.environ["API_KEY"]',
        "PASSWORD=changeme",
        "password = getpass.getpass('Password 1: ')",
        "password=$DB_PASSWORD2",
        "password=%(password1)s",
        "password=<your-password>",
        "secret=${SECRET}",
        "key=lambda pair: pair[1]",
        "sort_key: 1234567890123",
        "pass: 123, fail: 4",
        "token_type: identifier1",
        "passed=q1W2e3R4t5",
        "Bearer authentication scheme in RFC6750x",
        "monkey: q1W2e3R4t5zz",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxx",
        "task-7VxyZqja8gjkbGQa8CCDQPqw",
        "ftp://user:password@host/",
        "token: https://example.com/a1",
    ],
)
def test_code_and_placeholders_are_no_secrets(text: str) -> None:
    assert found(text) == []


def test_entropy_is_in_bits_per_character() -> None:
    assert entropy_bits("") == 0
    assert entropy_bits("aaaa") == 0
    assert entropy_bits("abcd") == 2


def test_a_random_value_is_long_enough_mixed_and_varied() -> None:
    assert looks_random("q1W2e3R4", 8)
    assert not looks_random("q1W2e3R4", 9)
    assert not looks_random("aaaa1111", 8)
    assert not looks_random("correcthorse", 8)
