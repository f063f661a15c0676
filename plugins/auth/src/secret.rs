//! Randomness, hashes, and the text forms of secrets.

use aws_lc_rs::{digest, rand};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use parlance_plugin_api::identity::AuthError;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// 256 random bits, wiped when dropped.
pub(crate) type Secret256 = Zeroizing<[u8; 32]>;

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], AuthError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| AuthError::Internal)?;
    Ok(bytes)
}

/// A fresh secret.
pub(crate) fn random_secret() -> Result<Secret256, AuthError> {
    Ok(Zeroizing::new(random()?))
}

/// A fresh id that begins with the time, so that ids sort by age.
pub(crate) fn fresh_id(now_ms: u64) -> Result<[u8; 16], AuthError> {
    let mut id = random::<16>()?;
    id[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
    Ok(id)
}

/// When an id of [`fresh_id`] was made, Unix milliseconds.
pub(crate) fn id_time_ms(id: &[u8; 16]) -> u64 {
    let mut time = [0; 8];
    time[2..].copy_from_slice(&id[..6]);
    u64::from_be_bytes(time)
}

/// SHA-256. Enough for secrets of 256 random bits: there is nothing to guess.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Equality in a time that does not depend on where they differ.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Base64url without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Back from [`encode`], if it is exactly `N` bytes.
pub(crate) fn decode<const N: usize>(text: &[u8]) -> Option<Zeroizing<[u8; N]>> {
    // The strict decoder writes into a buffer of its estimate, which may exceed the result by up to two bytes.
    let mut buffer = Zeroizing::new([0_u8; 160]);
    if text.len() != (N * 4).div_ceil(3) || N + 3 > buffer.len() {
        return None;
    }
    let length = BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut buffer[..]).ok()?;
    let bytes: [u8; N] = buffer[..length].try_into().ok()?;
    Some(Zeroizing::new(bytes))
}

/// Back from lower-case hexadecimal.
pub(crate) fn parse_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_plugin_api::store::hex;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_forms_round_trip(bytes: [u8; 32], id: [u8; 16]) {
            let text = encode(&bytes);
            prop_assert_eq!(*decode::<32>(text.as_bytes()).unwrap(), bytes);
            prop_assert_eq!(parse_hex(hex(&id).as_bytes()), Some(id));
        }

        #[test]
        fn no_text_panics(text: Vec<u8>) {
            let _ = (decode::<32>(&text), parse_hex::<16>(&text));
        }

        #[test]
        fn ids_tell_their_time(now in 0_u64..1 << 48) {
            prop_assert_eq!(id_time_ms(&fresh_id(now).unwrap()), now);
        }
    }
}
