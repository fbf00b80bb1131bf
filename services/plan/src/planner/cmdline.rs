//! The kernel command line: one key of it, with the kernel's own quoting (double quotes around a value
//! or around a whole assignment keep blanks together; there is no escape).

use super::Content;
use init_proto::paths::CMDLINE_CONFIG_URL;

/// Most bytes of the command line that are read; the kernel's own bound is 2048 on x86.
pub(crate) const CMDLINE_MAX: usize = 64 * 1024;
/// Longest URL.
pub(crate) const URL_MAX: usize = 2048;

/// The URL of the config, where the command line names one.
pub(crate) fn content(cmdline: &[u8]) -> Content {
    let text = String::from_utf8_lossy(cmdline);
    let Some(url) = value(&text, CMDLINE_CONFIG_URL) else {
        return Content::Nothing;
    };
    let known = ["http://", "https://"].iter().any(|scheme| {
        url.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    });
    if url.len() > URL_MAX {
        Content::Unusable(format!(
            "{CMDLINE_CONFIG_URL}= has more than {URL_MAX} characters"
        ))
    } else if !known || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Content::Unusable(format!(
            "{CMDLINE_CONFIG_URL}= is not an http:// or https:// URL"
        ))
    } else {
        Content::Url(url)
    }
}

/// The value of the last `key=value`; as in the kernel, the last one wins.
fn value(text: &str, key: &str) -> Option<String> {
    words(text)
        .into_iter()
        .rev()
        .find_map(|word| Some(word.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
}

/// Words without their quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                any = true;
            }
            c if (c.is_whitespace() || c == '\0') && !quoted => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => {
                word.push(c);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(cmdline: &str, expect: Option<&str>) {
        match (content(cmdline.as_bytes()), expect) {
            (Content::Url(found), Some(expect)) => assert_eq!(found, expect, "in {cmdline}"),
            (Content::Nothing, None) => {}
            (found, _) => panic!("{cmdline}: {found:?}"),
        }
    }

    #[test]
    fn the_key_is_found_as_the_kernel_would() {
        check("", None);
        check("console=ttyS0 panic=5\n", None);
        check("orlop.configuration=http://x/y", None);
        check("a=b orlop.config=http://x/y\n", Some("http://x/y"));
        check(
            "orlop.config=http://a/ orlop.config=https://b/",
            Some("https://b/"),
        );
        check("x=\"a orlop.config=http://no/\" z", None);
        check(
            "orlop.config=\"http://x/?a=b&c=d\" z",
            Some("http://x/?a=b&c=d"),
        );
        check("\"orlop.config=http://x/\"", Some("http://x/"));
    }

    #[test]
    fn what_is_no_url_is_said() {
        for bad in ["", "ftp://x", "http://", "/etc/passwd", "\"http://a b\""] {
            let cmdline = format!("orlop.config={bad}");
            assert!(
                matches!(content(cmdline.as_bytes()), Content::Unusable(_)),
                "{bad}"
            );
        }
        let long = format!("orlop.config=http://{}", "x".repeat(URL_MAX));
        assert!(matches!(content(long.as_bytes()), Content::Unusable(_)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = content(&bytes);
        }
    }
}
