"""What tests of several files share with `test_any_input`."""

from hypothesis import strategies as st

ODD = (
    'size 5"',
    "\\",
    "\t",
    "",
    "\x00",
    "+application_id",
    "+focus_key",
    "+metrics",
    "+boxes",
    "undeclared_0",
)


NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**53, 2**63, -(2**63) - 1, 10**400, 5e-324, 1.7e308, -0.0]),
)


TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["2024-01-19T09:36:49Z", "240242525", "9999-12-31T23:59:59-01:00", '{"a":1}', "box_set"]),
)


FIXED = (
    b"[" * 3000 + b"]" * 3000,
    b'{"media":{"media_id":"M","z":' + b"[" * 900 + b"]" * 900 + b'},"updated_at":1,"detections":[]}',
    b'{"media":{"media_id":"\\ud800"},"updated_at":1,"detections":[]}',
    b'{"media":{"media_id":"a\nb"},"updated_at":1,"detections":[]}',
    b'{"media":{"media_id":"M"},"updated_at":NaN,"detections":[]}',
    b'{"media_id":"N","metrics":{"a":Infinity}}',
    b'{"media_id":"\xff"}',
)
