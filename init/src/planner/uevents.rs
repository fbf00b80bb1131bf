//! The kernel's announcements of devices: a head and `KEY=value` fields, each ended by a zero byte
//! (the kernel's lib/kobject_uevent.c).

/// What was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Uevent {
    /// A device came or changed.
    Device {
        /// `SUBSYSTEM`.
        subsystem: String,
        /// `MODALIAS`, if it asks for a driver.
        alias: Option<String>,
    },
    /// Announcements were lost: look at everything again.
    Lost,
    /// Anything else.
    Other,
}

/// Reads an announcement; anything that is none counts as one of no interest.
pub(crate) fn parse(message: &[u8]) -> Uevent {
    let value = |key: &str| {
        message
            .split(|byte| *byte == 0)
            .filter_map(|field| std::str::from_utf8(field).ok())
            .find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
    };
    match value("ACTION") {
        Some("add" | "change" | "bind") => Uevent::Device {
            subsystem: value("SUBSYSTEM").unwrap_or_default().to_owned(),
            alias: value("MODALIAS").map(Into::into),
        },
        _ => Uevent::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements() {
        let message = b"add@/devices/x\0ACTION=add\0SUBSYSTEM=virtio\0MODALIAS=virtio:d2v1\0";
        assert_eq!(
            parse(message),
            Uevent::Device {
                subsystem: "virtio".into(),
                alias: Some("virtio:d2v1".into())
            }
        );
        assert_eq!(parse(b"remove@/x\0ACTION=remove\0"), Uevent::Other);
        assert_eq!(parse(b"\xff\xfe"), Uevent::Other);
    }
}
