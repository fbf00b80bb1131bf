//! Who a container's first process is: user, group and supplemental groups (passwd(5), group(5)).

use super::{Ask, Error};
use cri_proto::runtime::{Int64Value, LinuxContainerUser, SupplementalGroupsPolicy};
use std::collections::BTreeSet;

/// A resolved identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The primary group first, then the others in the order of their numbers.
    pub(super) groups: Vec<u32>,
}

impl Identity {
    pub(super) fn into_cri(self) -> LinuxContainerUser {
        LinuxContainerUser {
            uid: self.uid.into(),
            gid: self.gid.into(),
            supplemental_groups: self.groups.into_iter().map(i64::from).collect(),
        }
    }
}

/// Of the client's words, else the image's, else root.
pub(super) fn resolve(ask: &Ask<'_>) -> Result<Identity, Error> {
    let (passwd, group) = (ask.facts.passwd, ask.facts.group);
    let security = &ask.security;
    let asked_group = security
        .run_as_group
        .as_ref()
        .map(|id| number("LinuxContainerSecurityContext.run_as_group", id))
        .transpose()?;
    let (entry, uid, gid) = match (&security.run_as_user, security.run_as_username.as_str()) {
        (Some(_), name) if !name.is_empty() => {
            return Err(Error::unsupported(
                "LinuxContainerSecurityContext.run_as_username",
                "run_as_user is given too",
            ));
        }
        (Some(id), _) => {
            let uid = number("LinuxContainerSecurityContext.run_as_user", id)?;
            let entry = by_uid(passwd, uid);
            (entry, uid, entry.map_or(0, |entry| entry.gid))
        }
        (None, "") => {
            if asked_group.is_some() {
                return Err(Error::unsupported(
                    "LinuxContainerSecurityContext.run_as_group",
                    "it is given without a user",
                ));
            }
            of_image(
                ask.image.user().as_deref().unwrap_or_default(),
                passwd,
                group,
            )?
        }
        (None, name) => {
            let entry = by_name(passwd, name)?;
            (Some(entry), entry.uid, entry.gid)
        }
    };
    let gid = asked_group.unwrap_or(gid);

    let mut others = BTreeSet::new();
    match SupplementalGroupsPolicy::try_from(security.supplemental_groups_policy) {
        Ok(SupplementalGroupsPolicy::Merge) => {
            if let Some(entry) = entry {
                others.extend(groups_of(group, entry.name));
            }
        }
        Ok(SupplementalGroupsPolicy::Strict) => {}
        Err(_) => {
            return Err(Error::invalid(
                "LinuxContainerSecurityContext.supplemental_groups_policy",
                security.supplemental_groups_policy,
                "it is no SupplementalGroupsPolicy",
            ));
        }
    }
    for id in &security.supplemental_groups {
        others.insert(checked(
            "LinuxContainerSecurityContext.supplemental_groups",
            *id,
        )?);
    }
    others.remove(&gid);
    Ok(Identity {
        uid,
        gid,
        groups: [gid].into_iter().chain(others).collect(),
    })
}

/// `user`, or `user:group`, each a name or a number.
fn of_image<'a>(
    text: &str,
    passwd: &'a str,
    group: &str,
) -> Result<(Option<Entry<'a>>, u32, u32), Error> {
    let (user, of_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let (entry, uid, gid) = if let Ok(uid) = user.parse::<u32>() {
        let entry = by_uid(passwd, uid);
        (entry, uid, entry.map_or(0, |entry| entry.gid))
    } else {
        let entry = by_name(passwd, user)?;
        (Some(entry), entry.uid, entry.gid)
    };
    let gid = match of_group {
        None | Some("") => gid,
        Some(name) => match name.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => groups(group)
                .find(|(group, ..)| *group == name)
                .map(|(_, gid, _)| gid)
                .ok_or_else(|| Error::Unknown {
                    kind: "group",
                    name: name.to_owned(),
                })?,
        },
    };
    Ok((entry, uid, gid))
}

fn number(field: &'static str, value: &Int64Value) -> Result<u32, Error> {
    checked(field, value.value)
}

/// 2^32 - 1 is the kernel's "no one".
fn checked(field: &'static str, value: i64) -> Result<u32, Error> {
    u32::try_from(value)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| Error::invalid(field, value, "IDs are from 0 to 4294967294"))
}

#[derive(Debug, Clone, Copy)]
struct Entry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

/// Lines that are none are passed over, as libc does.
fn entries(passwd: &str) -> impl Iterator<Item = Entry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let _password = fields.next()?;
        Some(Entry {
            name,
            uid: fields.next()?.trim().parse().ok()?,
            gid: fields.next()?.trim().parse().ok()?,
        })
    })
}

fn by_uid(passwd: &str, uid: u32) -> Option<Entry<'_>> {
    entries(passwd).find(|entry| entry.uid == uid)
}

fn by_name<'a>(passwd: &'a str, name: &str) -> Result<Entry<'a>, Error> {
    entries(passwd)
        .find(|entry| entry.name == name)
        .ok_or_else(|| Error::Unknown {
            kind: "user",
            name: name.to_owned(),
        })
}

/// Name, number, members.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let _password = fields.next()?;
        let gid = fields.next()?.trim().parse().ok()?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

fn groups_of(group: &str, user: &str) -> impl Iterator<Item = u32> {
    groups(group)
        .filter(move |(_, _, members)| members.split(',').any(|member| member.trim() == user))
        .map(|(_, gid, _)| gid)
}
