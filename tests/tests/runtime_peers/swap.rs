//! containerd and ours, asked the same: what differs is in a table, each line with its reason, and nothing else differs.

use crate::script::{self, Step};
use anyhow::{Context as _, Result, ensure};
use orlop_tests::containers::answers::Line;
use orlop_tests::containers::image::Image;
use orlop_tests::containers::registry::Registry;
use orlop_tests::containers::site::{Cgroups, Kind, Site};
use orlop_tests::load::client::runtime;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Where the table is, from the workspace's top.
const TABLE: &str = "docs/reference/containerd.md";

/// Where answers differ: step, field, containerd's, ours.
type Differences = BTreeSet<[String; 4]>;

#[test]
fn answers_are_containerds_but_for_what_the_table_says() -> Result<()> {
    let directory = tempfile::Builder::new().prefix("orlop-swap-").tempdir()?;
    let registry = Registry::start(&directory.path().join("registry"), None)?;
    let image = Image::of_contained(&directory.path().join("image"), &["pause"])?;
    registry.push("app", "1", &image)?;
    let (app, missing) = (registry.name("app:1"), registry.name("none:1"));
    // Another name for the image of containerd's own pods, which it pulls by itself.
    registry.push("pause", "1", &image)?;
    let pause = registry.name("pause:1");
    let answers = |kind| -> Result<Vec<Step>> {
        runtime()?.block_on(async {
            let site = Site::start(kind, directory.path(), Cgroups::Host, &pause, &[]).await?;
            script::run(&site, &app, &missing)
                .await
                .with_context(|| site.log())
        })
    };
    let found = differences(&answers(Kind::Containerd)?, &answers(Kind::Orlop)?);
    let path = xtask::workspace::root().join(TABLE);
    let table = std::fs::read_to_string(&path).with_context(|| format!("read {TABLE}"))?;
    let known = read(&table)?;
    let new = found
        .iter()
        .filter(|one| !known.iter().any(|row| covers(row, one)));
    let gone = known
        .iter()
        .filter(|row| !found.iter().any(|one| covers(row, one)));
    let (new, gone) = (rows(new), rows(gone));
    ensure!(
        new.is_empty() && gone.is_empty(),
        "{TABLE} is not what was found; new, to be explained or mended:\n{new}found no longer:\n{gone}",
    );
    Ok(())
}

/// Whether a row is of this difference. A step or a field that ends in `*` stands for all that begin so, and its values are
/// prose.
fn covers(row: &[String; 4], one: &[String; 4]) -> bool {
    let like = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
        Some(begin) => text.starts_with(begin),
        None => pattern == text,
    };
    let prose = row[0].ends_with('*') || row[1].ends_with('*');
    like(&row[0], &one[0]) && like(&row[1], &one[1]) && (prose || row[2..] == one[2..])
}

fn differences(containerd: &[Step], ours: &[Step]) -> Differences {
    let mut found = Differences::new();
    for (peer, own) in containerd.iter().zip(ours) {
        let (theirs, own_fields) = (by_field(&peer.1), by_field(&own.1));
        let fields: BTreeSet<_> = theirs.keys().chain(own_fields.keys()).collect();
        for field in fields {
            let of = |fields: &BTreeMap<String, String>| {
                fields.get(field).cloned().unwrap_or_else(|| "-".to_owned())
            };
            let (theirs, own) = (of(&theirs), of(&own_fields));
            if theirs != own {
                let cells = [peer.0.clone(), field.clone(), theirs, own];
                found.insert(cells.map(|cell| cell.replace('|', "\\|").replace('\n', " ")));
            }
        }
    }
    found
}

/// Values of a field that is there more than once stand together.
fn by_field(lines: &[Line]) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    for (field, value) in lines {
        let all = fields.entry(field.clone()).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(value);
    }
    fields
}

/// Rows of the table: step, field, containerd, ours, why. The reason must be there.
fn read(table: &str) -> Result<Differences> {
    let mut rows = Differences::new();
    for line in table.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let cells: Vec<String> = line
            .replace("\\|", "\u{1}")
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').replace('\u{1}', "\\|"))
            .collect();
        let [step, field, containerd, ours, why] = <[String; 5]>::try_from(cells)
            .map_err(|cells| anyhow::anyhow!("not five cells: {cells:?}"))?;
        ensure!(!why.is_empty(), "no reason: {line}");
        rows.insert([step, field, containerd, ours]);
    }
    Ok(rows)
}

fn rows<'a>(rows: impl Iterator<Item = &'a [String; 4]>) -> String {
    rows.fold(String::new(), |mut text, [step, field, theirs, own]| {
        let _ = writeln!(text, "| {step} | {field} | `{theirs}` | `{own}` | |");
        text
    })
}

#[test]
fn the_table_has_reasons() -> Result<()> {
    let good = "| step | field | containerd | Orlop | why |\n| --- | --- | --- | --- | --- |\n| a | b | `c \\| d` | - | e |\n";
    let rows = read(good)?;
    assert_eq!(
        rows.first().map(|row| row[2].clone()),
        Some("c \\| d".to_owned())
    );
    assert!(read(&good.replace("| e |", "| |")).is_err());
    let row = |cells: [&str; 4]| cells.map(str::to_owned);
    let one = row(["status, x", "a.b", "1", "2"]);
    assert!(covers(&row(["status*", "a*", "", ""]), &one));
    assert!(covers(&one, &one));
    assert!(!covers(&row(["status, x", "a.b", "1", "3"]), &one));
    assert!(!covers(&row(["status*", "b*", "", ""]), &one));
    Ok(())
}
