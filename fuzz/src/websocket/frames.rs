//! The frames of RFC 6455, read slowly: what a stream of them means.

/// A frame that is whole and breaks no rule by itself.
struct Frame<'a> {
    last: bool,
    opcode: u8,
    masked: bool,
    payload: Vec<u8>,
    rest: &'a [u8],
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

/// The frame at the front; `None`: it is not whole, or it is a mistake, and in both cases nothing comes after it.
fn frame(bytes: &[u8], bytes_max: usize) -> Option<Frame<'_>> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match second & 0x7F {
        126 => {
            rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?
        }
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        length => (u64::from(length), rest),
    };
    let masked = second & 0x80 != 0;
    let (mask, rest) = if masked { rest.split_first_chunk()? } else { (&[0; 4], rest) };
    let opcode = first & 0x0F;
    let is_control = opcode >= CLOSE;
    let last = first & 0x80 != 0;
    let allowed = first & 0x70 == 0 // no extension gives these bits a meaning
        && matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE..=PONG)
        && !(is_control && (!last || length > 125));
    let length = usize::try_from(length).ok().filter(|length| *length <= bytes_max)?;
    let (payload, rest) = rest.split_at_checked(length)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    allowed.then_some(Frame { last, opcode, masked, payload, rest })
}

/// The payloads of the complete binary messages of a client, up to its goodbye or first mistake.
pub(super) fn payloads_of_client(mut bytes: &[u8], message_bytes_max: usize) -> Vec<u8> {
    let mut complete = Vec::new();
    let mut begun: Option<Vec<u8>> = None;
    while let Some(frame) = frame(bytes, message_bytes_max) {
        bytes = frame.rest;
        if !frame.masked {
            break;
        }
        match (frame.opcode, &mut begun) {
            (CONTINUATION, Some(begun)) => begun.extend(frame.payload),
            (BINARY, None) => begun = Some(frame.payload),
            // A text message ends the connection, now or when it is complete (MQTT-6.0.0-1).
            (CONTINUATION | TEXT | BINARY | CLOSE, _) => break,
            // Pings and pongs may stand between the fragments.
            _ => continue,
        }
        if begun.as_ref().is_some_and(|message| message.len() > message_bytes_max) {
            break;
        }
        if frame.last {
            complete.extend(begun.take().unwrap_or_default());
        }
    }
    complete
}

/// The payloads of the binary frames of a server, which must all be well-formed. The last may be cut off: the client
/// went away while it was written.
pub(super) fn payloads_of_server(mut bytes: &[u8]) -> Vec<u8> {
    let mut payloads = Vec::new();
    while let Some(frame) = frame(bytes, usize::MAX) {
        bytes = frame.rest;
        assert!(!frame.masked, "a server does not mask (RFC 6455, 5.1)");
        match frame.opcode {
            BINARY => payloads.extend(frame.payload),
            CLOSE | PONG => {}
            other => panic!("a frame of kind {other} was not asked for"),
        }
        assert!(frame.last, "frames are written whole");
    }
    assert!(bytes.is_empty(), "{} bytes behind the last frame", bytes.len());
    payloads
}
