//! The EFI variable that names the partition that the boot loader came from (systemd's Boot Loader
//! Interface): four bytes of attributes, then the GUID as UTF-16.

use uuid::Uuid;

/// File name in efivarfs.
pub(crate) const LOADER_DEVICE_PART_UUID: &str =
    "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// Most bytes of it that are read: 4 + 2 * (36 + 1), and some slack.
pub(crate) const VARIABLE_MAX: u64 = 256;

/// The partition's GUID.
pub(crate) fn loader_device(bytes: &[u8]) -> Option<Uuid> {
    let units: Vec<u16> = bytes
        .get(4..)?
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16(&units).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_text_is_understood() {
        let text = "A1B2C3D4-0000-4000-8000-000000000001";
        let mut bytes = vec![6, 0, 0, 0];
        bytes.extend(text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        assert_eq!(loader_device(&bytes), Some(text.parse().unwrap()));
        for bad in [
            &b""[..],
            &bytes[..3],
            &bytes[..20],
            &[6, 0, 0, 0, 0, 0xd8, 0, 0],
        ] {
            assert_eq!(loader_device(bad), None);
        }
    }
}
