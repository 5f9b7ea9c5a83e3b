import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen import example
from datagen.tfrecord import OVERHEAD, masked_crc, read_records, write_record
from sim.errors import UserError

RECORDS = [b"first", b"", b"x" * 5000, b"last"]


def write(path: Path, records: list[bytes]) -> bytes:
    stream = io.BytesIO()
    sizes = [write_record(stream, record) for record in records]
    assert sizes == [len(record) + OVERHEAD for record in records]
    path.write_bytes(stream.getvalue())
    return stream.getvalue()


def test_records_come_back_in_order(tmp_path):
    write(tmp_path / "a", RECORDS)
    assert list(read_records(tmp_path / "a")) == RECORDS
    assert list(read_records(tmp_path / "a", verify=False)) == RECORDS


def test_checksum_is_tensorflows():
    # CRC-32C of "123456789" is 0xE3069283 (RFC 3720); of nothing, 0.
    crc = 0xE3069283
    assert masked_crc(b"123456789") == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32
    assert masked_crc(b"") == 0xA282EAD8


@pytest.mark.parametrize("cut", [1, 4, 5, 11, 21, 5000])
def test_truncation_names_file_record_and_byte(tmp_path, cut):
    path = tmp_path / "shard"
    data = write(path, RECORDS)
    path.write_bytes(data[:-cut])
    with pytest.raises(UserError, match=r"record \d+, which begins at byte \d+") as caught:
        list(read_records(path, verify=cut % 2 == 0))
    assert str(path) in str(caught.value)


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "shard"
    data = bytearray(write(path, [b"abc", b"defg"]))
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(UserError, match="damaged"):
            list(read_records(path))


def test_a_damaged_record_is_named_by_number_and_offset(tmp_path):
    path = tmp_path / "shard"
    data = bytearray(write(path, [b"abc", b"defg"]))
    second = 3 + OVERHEAD
    data[second + 12] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"record 1, which begins at byte {second}.*payload"):
        list(read_records(path))
    assert len(list(read_records(path, verify=False))) == 2


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        list(read_records(tmp_path / "no"))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.binary(max_size=30), max_size=4),
    st.lists(st.floats(width=32, allow_nan=False), max_size=5),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
)
def test_examples_come_back_and_have_one_encoding(texts, floats, integers):
    a = {"t": texts, "f": np.array(floats, np.float32), "i": np.array(integers, np.int64)}
    payload = example.encode(a)
    assert payload == example.encode(dict(reversed(a.items())))
    back = example.decode(payload, where="here")
    assert list(back["t"]) == texts
    if floats:
        np.testing.assert_array_equal(back["f"], a["f"])
    if integers:
        np.testing.assert_array_equal(back["i"], a["i"])


def test_examples_are_those_of_tensorflow_datasets():
    proto = pytest.importorskip("tensorflow_datasets.proto.tf_example_generated_pb2")
    ours = {"b": [b"1", b"2"], "f": np.array([1.5, 2.5], np.float32), "i": np.array([True, False])}
    theirs = proto.Example.FromString(example.encode(ours))
    assert list(theirs.features.feature["b"].bytes_list.value) == [b"1", b"2"]
    assert list(theirs.features.feature["f"].float_list.value) == [1.5, 2.5]
    assert list(theirs.features.feature["i"].int64_list.value) == [1, 0]


def test_what_is_no_example_is_told():
    with pytest.raises(UserError, match=r"over there holds something that is no tf\.train\.Example"):
        example.decode(b"\x0a\xff\xff\xff", where="over there")
