"""Standard Webhooks signatures, held against the specification's own example."""

import base64
import hashlib
import hmac

import pytest

from sync.signature import parse_secrets, sign


def test_the_signature_is_hmac_sha256_over_id_timestamp_and_body() -> None:
    key = b"k" * 24
    expected = base64.b64encode(hmac.new(key, b'batch-1.1614265330.{"test": 2432232314}', hashlib.sha256).digest())
    assert sign((key,), "batch-1", 1614265330, b'{"test": 2432232314}') == "v1," + expected.decode()


def test_a_published_vector_is_reproduced() -> None:
    """Secret, id, timestamp, body and signature as the specification's reference libraries test them."""
    keys = parse_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    found = sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_a_secret_is_rotated_both_sign() -> None:
    text = f"whsec_{base64.b64encode(b'a' * 32).decode()}  whsec_{base64.b64encode(b'b' * 32).decode()}\n"
    keys = parse_secrets(text)
    assert keys == (b"a" * 32, b"b" * 32)
    signatures = sign(keys, "m", 1, b"x").split(" ")
    assert signatures == [sign((key,), "m", 1, b"x") for key in keys]


@pytest.mark.parametrize(("size", "is_good"), [(23, False), (24, True), (64, True), (65, False)])
def test_a_secret_has_24_to_64_bytes(size: int, is_good: bool) -> None:
    text = "whsec_" + base64.b64encode(b"s" * size).decode()
    if is_good:
        assert parse_secrets(text) == (b"s" * size,)
    else:
        with pytest.raises(ValueError, match=str(size)):
            parse_secrets(text)


@pytest.mark.parametrize("text", ["", "   ", "whsec_", "whsec_not*base64", "whsec_abc"])
def test_a_secret_that_is_none_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        parse_secrets(text)
    assert "not*base64" not in str(caught.value)


def test_a_full_stop_in_the_id_would_give_the_text_two_readings() -> None:
    with pytest.raises(AssertionError):
        sign((b"k" * 24,), "a.b", 1, b"")
