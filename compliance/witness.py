"""A witness co-signs a checkpoint after it saw that the ledger continues what it saw last (c2sp.org/tlog-cosignature).

It needs no database: a checkpoint, a consistency proof, the ledger's key, and the file in which it remembers. With its
signature, a ledger that shows different people different pasts is found out by whoever asks the witness.
"""

from __future__ import annotations

from collections.abc import Sequence

from compliance.ledger.merkle import BadProof, verify_consistency
from compliance.ledger.note import Checkpoint, Note, NoteError, Signature, VerifierKey
from compliance.signers import Signer, cosignature, ed25519_holds


class NotWitnessed(Exception):
    """A checkpoint that a witness must not sign; the message says why."""


def witness(
    *,
    note: Note,
    log_key: VerifierKey,
    last: Checkpoint | None,
    proof: Sequence[bytes],
    signer: Signer,
    seconds: int,
) -> Signature:
    """Return the cosignature of a checkpoint, given at a POSIX time.

    ``last`` is the newest checkpoint that this witness signed, None for its first. Raises NotWitnessed unless the note
    is a checkpoint signed by the ledger, no smaller than the last, and the proof shows that it continues it.
    """
    try:
        checkpoint = Checkpoint.parse(note.text)
        if not note.signed_by([log_key], ed25519_holds):
            raise NotWitnessed(f"the checkpoint is not signed by {log_key.name}")
        if checkpoint.origin != log_key.name:
            raise NotWitnessed(f"the checkpoint is of {checkpoint.origin}, not of {log_key.name}")
        if last is not None:
            if last.origin != checkpoint.origin:
                raise NotWitnessed(f"the last checkpoint seen is of {last.origin}")
            verify_consistency(
                first=last.size,
                first_root=last.root,
                second=checkpoint.size,
                second_root=checkpoint.root,
                proof=proof,
            )
    except (NoteError, BadProof) as error:
        raise NotWitnessed(str(error)) from error
    return cosignature(note.text, signer, seconds=seconds)
