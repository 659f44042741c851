"""Proofs over the log hold for every tree, and for no other leaf, place, size, root or proof."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbgate.audit.merkle import leaf_hash, root_hash
from dbgate.audit.note import Checkpoint
from dbgate.audit.proofs import consistency, consistent, included, inclusion

SIZES = range(1, 70)


def leaves(count: int, salt: bytes = b"") -> list[bytes]:
    return [leaf_hash(salt + str(number).encode()) for number in range(count)]


def head(hashes: list[bytes]) -> Checkpoint:
    return Checkpoint("log", len(hashes), root_hash(hashes))


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_of_every_tree_is_proven_in_its_place_only(size: int) -> None:
    tree = leaves(size)
    root = root_hash(tree)
    for index in range(size):
        proof = inclusion(tree, index)
        assert len(proof) <= (size - 1).bit_length()
        assert included(tree[index], index, size, proof, root)
        for other in {index - 1, index + 1, index ^ 2} - {index}:
            assert not included(tree[index], other, size, proof, root)
        assert not included(leaf_hash(b"another"), index, size, proof, root)
        assert not included(tree[index], index, size, proof, leaf_hash(b"root"))
        assert not included(tree[index], index, size, [*proof, root], root)
        if proof:
            assert not included(tree[index], index, size, proof[:-1], root)


@pytest.mark.parametrize("size", SIZES)
def test_every_beginning_of_every_tree_is_proven_and_no_other_history(size: int) -> None:
    tree = leaves(size)
    for old in range(1, size + 1):
        proof = consistency(tree, old)
        before, after = head(tree[:old]), head(tree)
        assert consistent(before, after, proof)
        forked = head([*tree[: old - 1], leaf_hash(b"forged")])
        assert not consistent(forked, after, proof)
        assert not consistent(before, replace(after, root=leaf_hash(b"forged")), proof)
        assert not consistent(before, after, [*proof, after.root])
        if proof:
            assert not consistent(before, after, proof[:-1])
            assert not consistent(before, after, [proof[0][::-1], *proof[1:]])
        if old < size:
            assert not consistent(after, before, proof)


def changed(proof: list[bytes], data: st.DataObject) -> list[bytes]:
    at, byte = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 31))
    part = proof[at]
    return [*proof[:at], part[:byte] + bytes([part[byte] ^ 1]) + part[byte + 1 :], *proof[at + 1 :]]


@given(st.integers(2, 400), st.data())
def test_no_changed_inclusion_proof_holds(size: int, data: st.DataObject) -> None:
    tree = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion(tree, index)
    assert included(tree[index], index, size, proof, root_hash(tree))
    assert not included(tree[index], index, size, changed(proof, data), root_hash(tree))


@given(st.integers(2, 400), st.data())
def test_no_changed_consistency_proof_holds(size: int, data: st.DataObject) -> None:
    tree = leaves(size)
    old = data.draw(st.integers(1, size - 1))
    proof = consistency(tree, old)
    assert consistent(head(tree[:old]), head(tree), proof)
    assert not consistent(head(tree[:old]), head(tree), changed(proof, data))


def test_the_tree_of_certificate_transparency_has_its_published_root() -> None:
    """The eight leaves of the test data of Google's certificate-transparency-go (`merkletree`)."""
    entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    root = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    assert root_hash([leaf_hash(bytes.fromhex(entry)) for entry in entries]).hex() == root


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3)])
def test_there_is_no_proof_from_an_empty_or_a_larger_tree(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="there is no tree"):
        consistency(leaves(new), old)
    assert not consistent(Checkpoint("log", old, root_hash(leaves(old))), head(leaves(new)), [])


def test_there_is_no_proof_of_a_leaf_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="there is no leaf 3"):
        inclusion(leaves(3), 3)
    assert not included(leaves(4)[3], 3, 3, [], root_hash(leaves(3)))
