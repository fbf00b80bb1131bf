//! SMBIOS type 11 (OEM strings, DMTF DSP0134 section 7.12) as the kernel's `dmi/entries/11-0/raw` shows it.
//!
//! ```text
//! 0      1        2       4       length
//! +------+--------+--------+-------+----------+---+----------+---+---+
//! | type | length | handle | count | string 1 | 0 | string 2 | 0 | 0 |
//! +------+--------+--------+-------+----------+---+----------+---+---+
//! ```
//!
//! The config is the strings that begin with [`SMBIOS_PREFIX`], in order, without the prefix, put
//! together and base64-decoded. Strings of others are passed over.

use super::Content;
use base64::Engine as _;
use init_proto::{generation::CONFIG_MAX, paths::SMBIOS_PREFIX};

/// Most bytes of the structure that are read: a config in base64 is 4/3 of its size, and every piece
/// has a prefix.
pub(crate) const STRUCTURE_MAX: usize = 2 * CONFIG_MAX;
const TYPE_OEM_STRINGS: u8 = 11;
const HEADER_MIN: usize = 5;

/// The config in the structure.
pub(crate) fn content(structure: &[u8]) -> Content {
    let Some(strings) = strings(structure) else {
        return Content::Unusable("the structure is not one of OEM strings".into());
    };
    let mut encoded = Vec::new();
    for piece in strings.filter_map(|text| text.strip_prefix(SMBIOS_PREFIX.as_bytes())) {
        encoded.extend(piece.iter().filter(|byte| !byte.is_ascii_whitespace()));
    }
    if encoded.is_empty() {
        return Content::Nothing;
    }
    match base64::engine::general_purpose::STANDARD.decode(&encoded) {
        Ok(config) => Content::Config(config),
        Err(error) => Content::Unusable(format!(
            "the strings that begin with {SMBIOS_PREFIX} are not base64 when put together: {error}"
        )),
    }
}

fn strings(structure: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let (kind, length) = (*structure.first()?, usize::from(*structure.get(1)?));
    if kind != TYPE_OEM_STRINGS || length < HEADER_MIN {
        return None;
    }
    let area = structure.get(length..)?;
    // The set of strings ends at the first empty one.
    Some(
        area.split(|byte| *byte == 0)
            .take_while(|text| !text.is_empty()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn structure(strings: &[&str]) -> Vec<u8> {
        let count = u8::try_from(strings.len()).unwrap();
        let mut bytes = vec![11, 5, 0, 0x0b, count];
        for text in strings {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn pieces_in_order_make_the_config() {
        let encoded = base64::engine::general_purpose::STANDARD.encode("kind: Machine\n");
        let (one, two) = encoded.split_at(7);
        let bytes = structure(&[
            "a vendor's own string",
            &format!("{SMBIOS_PREFIX}{one}"),
            "io.systemd.credential:x=y",
            &format!("{SMBIOS_PREFIX}{two}"),
        ]);
        assert_eq!(content(&bytes), Content::Config(b"kind: Machine\n".into()));
    }

    #[test]
    fn nothing_of_ours_is_nothing_and_damage_is_said() {
        assert_eq!(content(&structure(&["other"])), Content::Nothing);
        for damaged in [
            &b""[..],
            &[1, 5, 0, 0, 0],
            &[11],
            &structure(&["io.orlop.config=%%%"]),
        ] {
            assert!(
                matches!(content(damaged), Content::Unusable(_)),
                "{damaged:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = content(&bytes);
        }

        #[test]
        fn any_config_survives_any_split(config in proptest::collection::vec(any::<u8>(), 1..600), piece in 1_usize..80) {
            let encoded = base64::engine::general_purpose::STANDARD.encode(&config);
            let pieces: Vec<String> = encoded
                .as_bytes()
                .chunks(piece.max(encoded.len() / 200 + 1))
                .map(|chunk| format!("{SMBIOS_PREFIX}{}", std::str::from_utf8(chunk).unwrap()))
                .collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(content(&structure(&pieces)), Content::Config(config));
        }
    }
}
