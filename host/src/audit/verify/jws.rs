//! What a checkpoint's JWS says. Whether it is signed is for the caller's keys to tell.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::audit::line::Hash;
use crate::audit::log::CHECKPOINT_TYP;
use crate::hex;
use crate::json;

#[derive(Deserialize)]
struct Header {
    typ: String,
}

#[derive(Deserialize)]
struct Payload {
    seq: u64,
    hash: String,
}

/// The line that a checkpoint vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) seq: u64,
    pub(super) hash: Hash,
}

/// Reads a compact JWS (RFC 7515 §7.1) of a checkpoint's type (RFC 8725 §3.11: another token of ours is no checkpoint).
pub(super) fn claims(jws: &str) -> Option<Claims> {
    let mut parts = jws.split('.');
    let (header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let header: Header = json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let payload: Payload = json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    (header.typ == CHECKPOINT_TYP).then_some(Claims { seq: payload.seq, hash: hex::decode(&payload.hash)? })
}
