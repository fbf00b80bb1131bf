//! STATE's two generations of the config: the newest whole one counts.

use super::Content;
use init_proto::generation::{Generation, newest};

/// The config among the two files; `None`: the file is not there.
pub(crate) fn content(a: Option<&[u8]>, b: Option<&[u8]>) -> Content {
    let present: Vec<_> = [("config-a", a), ("config-b", b)]
        .into_iter()
        .filter_map(|(name, bytes)| bytes.filter(|bytes| !bytes.is_empty()).map(|b| (name, b)))
        .collect();
    if present.is_empty() {
        return Content::Nothing;
    }
    if let (Some(generation), _) = newest(a.unwrap_or_default(), b.unwrap_or_default()) {
        return Content::Config(generation.config);
    }
    let why: Vec<_> = present
        .into_iter()
        .filter_map(|(name, bytes)| {
            let error = Generation::decode(bytes).err()?;
            Some(format!("{name}: {error}"))
        })
        .collect();
    Content::Unusable(format!("no whole config ({})", why.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: u64) -> Vec<u8> {
        Generation {
            number,
            config: format!("{number}").into_bytes(),
        }
        .encode()
    }

    #[test]
    fn newest_whole_one_counts() {
        let (old, new) = (file(1), file(2));
        let torn = &new[..new.len() - 1];
        let config = |text: &[u8]| Content::Config(text.to_vec());
        assert_eq!(content(None, None), Content::Nothing);
        assert_eq!(content(Some(b""), None), Content::Nothing);
        assert_eq!(content(Some(&old), Some(&new)), config(b"2"));
        assert_eq!(content(Some(&old), Some(torn)), config(b"1"));
        assert_eq!(content(None, Some(&old)), config(b"1"));
        let Content::Unusable(why) = content(Some(torn), Some(b"garbage")) else {
            panic!("both are torn");
        };
        assert!(why.contains("config-a: the file is cut short"), "{why}");
        assert!(why.contains("config-b"), "{why}");
    }
}
