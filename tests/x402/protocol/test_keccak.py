"""Our way to the hash gives what the library's own way gives, in every thread."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from x402.protocol import keccak

VECTORS = {
    b"": "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
    b"abc": "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45",
}


@pytest.mark.parametrize("way", [keccak.keccak256, keccak._by_object])
@pytest.mark.parametrize("data", VECTORS)
def test_known_digests_come_out(way, data: bytes) -> None:
    assert way(data).hex() == VECTORS[data]


@pytest.mark.parametrize("size", [1, 135, 136, 137, 272, 4_096])
def test_both_ways_agree_around_the_size_of_a_block(size: int) -> None:
    data = secrets.token_bytes(size)

    assert keccak.keccak256(data) == keccak._by_object(data)


def test_threads_do_not_meet_in_one_state() -> None:
    texts = [secrets.token_bytes(288) for _ in range(2_000)]

    with ThreadPoolExecutor(8) as threads:
        digests = list(threads.map(keccak.keccak256, texts))

    assert digests == [keccak._by_object(text) for text in texts]


def test_the_quick_way_is_the_one_that_is_used_here() -> None:
    assert keccak.IS_DIRECT
