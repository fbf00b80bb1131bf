//! A disk without space, or without inodes.

use crate::{
    registry::Registry,
    support::{Entry, Mounted, TestImage, archive, gzip, names, options},
};
use orlop_runtime::{
    executor::images::{Images, ImagesError},
    planner::images::challenge::AuthConfig,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_nothing_is_left() {
    let many: Vec<_> = (0..300).map(|n| format!("f{n}")).collect();
    let many: Vec<_> = many
        .iter()
        .map(|name| (name.as_str(), Entry::File(b"")))
        .collect();
    let big = archive(&[("big", Entry::File(&vec![9; 9_000_000]))]);
    for (size, layer) in [("size=4m", big), ("nr_inodes=100", archive(&many))] {
        let disk = Mounted::tmpfs(size);
        let images = Images::open(options(&disk.path)).await.unwrap();
        let registry = Registry::new().await;
        let first = archive(&[("first", Entry::File(b"1"))]);
        registry.put_image("big", "1", &TestImage::new(&[first, layer], &[gzip]));
        registry.put_image(
            "small",
            "1",
            &TestImage::new(&[archive(&[("a", Entry::File(b"1"))])], &[gzip]),
        );
        let reference = registry.reference("big:1");
        let error = images
            .pull(&reference, &AuthConfig::default())
            .await
            .unwrap_err();
        assert!(
            matches!(error, ImagesError::ResourceExhausted(_)),
            "{error:?}"
        );
        assert!(error.to_string().contains("No space left"), "{error}");
        for directory in ["layers", "images"] {
            assert_eq!(names(&disk.path.join(directory)), [] as [&str; 0]);
        }
        images
            .pull(&registry.reference("small:1"), &AuthConfig::default())
            .await
            .unwrap();
        drop(images);
    }
}
