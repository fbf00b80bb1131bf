//! Networks by plugins of CNI (spec 1.1), as libcni runs them.
//!
//! ```text
//!   begin   the attachment is written, without a result
//!   add     ADD, the first plugin first, each with the result of the one before ──> the attachment with the last one's
//!   delete  DEL, the last plugin first, with the list and the result that were kept ──> the attachment is removed
//!   collect at the start: DEL of attachments without a sandbox, GC, CHECK of the others
//! ```

use super::{
    Ask, NetworkError, NetworkOptions, is_pinned, leftover,
    plugin::{self, Run},
};
use crate::executor::keeper::sys::keep_descriptors_from_others;
use crate::planner::network::{
    cni_attachment::{Attachment, LINK, VERSION},
    cni_config::{CONFIG_MAX, Command, Input, Plugin, PluginList, Version},
    cni_result::{self, RESULT_MAX},
};
use cri_proto::runtime::PodSandboxConfig;
use rustix::fs::Access;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read as _, Write as _},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{RwLock, Semaphore};

/// Chains of plugins that run at once.
const AT_ONCE: usize = 16;
/// Longest wait for plugins' `STATUS`. A kubelet asks for the runtime's status every few seconds; were it to wait longer than 30 s for the answer, the whole
/// runtime would not be ready, which no configuration of a network may cause.
const STATUS_MAX: Duration = Duration::from_secs(20);
/// Largest attachment that is read again: two lists, and a result.
const ATTACHMENT_MAX: usize = 4 * 1024 * 1024;

/// Plugins and what they have made. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Cni(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    conf_dir: PathBuf,
    bin_dirs: Vec<PathBuf>,
    timeout: Duration,
    attachments: PathBuf,
    turns: Semaphore,
    /// One `STATUS` at a time, beside the others' turns.
    status: Arc<Semaphore>,
    /// ADD and DEL read, GC writes: a plugin that is told who is valid must not meet one who has just come.
    changes: RwLock<()>,
    /// The list whose plugins are there and speak its version.
    probed: Mutex<Option<Value>>,
}

/// For whom plugins are asked.
struct Target<'a> {
    sandbox: &'a str,
    namespace: &'a str,
    arguments: &'a str,
}

impl Cni {
    pub(super) fn open(options: &NetworkOptions) -> Result<Self, NetworkError> {
        // Our own are none of a plugin's business already.
        keep_descriptors_from_others()
            .map_err(NetworkError::at("keep descriptors from plugins"))?;
        let attachments = options.root.join("cni");
        fs::create_dir_all(&attachments)
            .and_then(|()| remove_unfinished(&attachments))
            .map_err(NetworkError::at(format!("make {}", attachments.display())))?;
        Ok(Self(Arc::new(Inner {
            conf_dir: options.cni_conf_dir.clone(),
            bin_dirs: options.cni_bin_dirs.clone(),
            timeout: options.cni_plugin_timeout,
            attachments,
            turns: Semaphore::new(AT_ONCE),
            status: Arc::new(Semaphore::new(1)),
            changes: RwLock::default(),
            probed: Mutex::default(),
        })))
    }

    pub(super) fn conf_dir(&self) -> &Path {
        &self.0.conf_dir
    }

    /// The network that is configured: the first file by name. One that cannot be used is an error and no reason to use another: pods
    /// would be in a network that nobody meant.
    pub(super) async fn configuration(&self) -> Result<Option<PluginList>, String> {
        self.blocking(Inner::configuration).await?
    }

    /// Whether a sandbox could be added now.
    pub(super) async fn status(&self, list: &PluginList) -> Result<(), String> {
        let list = list.clone();
        let turn = Arc::clone(&self.0.status).acquire_owned();
        let asked = async {
            let turn = turn.await.map_err(|error| error.to_string())?;
            self.blocking(move |inner| {
                // Plugins work on when nobody waits for them any more: the next one's turn is after them.
                let _turn = turn;
                inner.status(&list)
            })
            .await?
        };
        tokio::time::timeout(STATUS_MAX, asked)
            .await
            .map_err(|_| format!("the plugins' STATUS was not there within {STATUS_MAX:?}"))?
    }

    /// Whether plugins have been asked for this sandbox.
    pub(super) async fn has(&self, sandbox: &str) -> bool {
        let sandbox = sandbox.to_owned();
        let there = self.blocking(move |inner| inner.file(&sandbox).exists());
        there.await.unwrap_or(false)
    }

    /// A sandbox is to be added: from now on it is to be deleted.
    pub(super) async fn begin(
        &self,
        list: &PluginList,
        attachment: &Attachment,
    ) -> Result<(), NetworkError> {
        let (list, attachment) = (list.clone(), attachment.clone());
        let begun = self.blocking(move |inner| {
            for plugin in &list.plugins {
                inner.find(&plugin.program).map_err(NetworkError::Cni)?;
            }
            inner.keep(&attachment)
        });
        begun.await.map_err(NetworkError::Cni)?
    }

    pub(super) async fn add(
        &self,
        ask: &Ask,
        mut attachment: Attachment,
    ) -> Result<Vec<IpAddr>, NetworkError> {
        let namespace = ask.namespace.display().to_string();
        let _changes = self.0.changes.read().await;
        let added = self.in_turn(move |inner| {
            let list =
                PluginList::of(attachment.list.clone()).map_err(|error| error.to_string())?;
            inner.probe(&list)?;
            let addresses = inner.add(&list, &mut attachment, &namespace)?;
            inner
                .keep(&attachment)
                .map_err(|error| service::chain(&error))?;
            Ok(addresses)
        });
        let sandbox = &ask.sandbox;
        added.await.map_err(|why| {
            NetworkError::Cni(format!(
                "failed to setup network for sandbox {sandbox:?}: {why}"
            ))
        })
    }

    /// What plugins have made for a sandbox goes; one that they know nothing of has nothing.
    pub(super) async fn delete(&self, ask: &Ask) -> Result<(), NetworkError> {
        if !self.has(&ask.sandbox).await {
            return Ok(());
        }
        let (pin, sandbox) = (ask.namespace.clone(), ask.sandbox.clone());
        let _changes = self.0.changes.read().await;
        let deleted = self.in_turn(move |inner| {
            let namespace = if is_pinned(&pin) {
                pin.display().to_string()
            } else {
                String::new()
            };
            inner.delete(&sandbox, &namespace)
        });
        let sandbox = &ask.sandbox;
        deleted.await.map_err(|why| {
            NetworkError::Cni(format!(
                "failed to destroy network for sandbox {sandbox:?}: {why}"
            ))
        })
    }

    /// Of which sandboxes something is kept.
    pub(super) fn attached(&self) -> BTreeSet<String> {
        self.0.attached()
    }

    /// What was made for sandboxes that are no more goes, and whatever else plugins have of such. Those of the others are looked at; what
    /// is wrong with them is logged: whoever watches the pods' health decides.
    pub(super) async fn collect(&self, gone: BTreeSet<String>) {
        let left = gone.clone();
        let deleted = self.in_turn(move |inner| {
            for sandbox in &left {
                if let Err(error) = inner.delete(sandbox, "") {
                    tracing::error!(error, sandbox, "a network of a sandbox that is gone stays");
                }
            }
            for sandbox in inner.attached().difference(&left) {
                if let Err(error) = inner.check(sandbox) {
                    tracing::warn!(error, sandbox, "a pod's network is not as it was made");
                }
            }
            Ok(())
        });
        let collected = async {
            deleted.await?;
            let _changes = self.0.changes.write().await;
            self.in_turn(Inner::collect).await
        };
        if let Err(error) = collected.await {
            tracing::warn!(error, "what CNI plugins have left is not collected");
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, String> {
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&inner));
        done.await.map_err(|error| error.to_string())
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let _turn = self
            .0
            .turns
            .acquire()
            .await
            .map_err(|error| error.to_string())?;
        self.blocking(work).await?
    }
}

const fn without(runtime: &Map<String, Value>) -> Input<'_> {
    Input {
        runtime,
        previous: None,
        valid: None,
    }
}

impl Inner {
    fn configuration(&self) -> Result<Option<PluginList>, String> {
        let wrong = |path: &Path, why: &str| format!("CNI configuration {}: {why}", path.display());
        let entries = match fs::read_dir(&self.conf_dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(&self.conf_dir, &error.to_string())),
        };
        let first = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter_map(|path| {
                let extension = path.extension()?.to_str()?.to_owned();
                matches!(extension.as_str(), "conflist" | "conf" | "json")
                    .then_some((path, extension))
            })
            .min();
        let Some((path, extension)) = first else {
            return Ok(None);
        };
        let bytes =
            read_file(&path, CONFIG_MAX).map_err(|error| wrong(&path, &error.to_string()))?;
        let list = PluginList::read(&bytes, &extension)
            .map_err(|error| wrong(&path, &service::chain(&error)))?;
        Ok(Some(list))
    }

    /// Each program is there, and speaks the list's version.
    fn probe(&self, list: &PluginList) -> Result<(), String> {
        let known = |probed: &Option<Value>| probed.as_ref() == Some(&list.source);
        for plugin in &list.plugins {
            self.find(&plugin.program)?;
        }
        if known(&self.probed.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        for plugin in &list.plugins {
            let input = json!({"cniVersion": list.version.text()})
                .to_string()
                .into_bytes();
            let said = self.ask(list, plugin, Command::Version, None, &input)?;
            let spoken = cni_result::versions(&said).map_err(|error| {
                format!("{}: {error}", described(list, plugin, Command::Version))
            })?;
            if !spoken.contains(&list.version) {
                let (program, version) = (&plugin.program, list.version.text());
                return Err(format!(
                    "plugin {program} does not support config version {version:?}"
                ));
            }
        }
        *self.probed.lock().unwrap_or_else(PoisonError::into_inner) = Some(list.source.clone());
        Ok(())
    }

    /// `STATUS`, which plugins have since 1.1.
    fn status(&self, list: &PluginList) -> Result<(), String> {
        self.probe(list)?;
        if list.version < Version::V110 {
            return Ok(());
        }
        for plugin in &list.plugins {
            let input = list.input(plugin, &without(&Map::new()));
            self.ask(list, plugin, Command::Status, None, &input)?;
        }
        Ok(())
    }

    fn add(
        &self,
        list: &PluginList,
        attachment: &mut Attachment,
        namespace: &str,
    ) -> Result<Vec<IpAddr>, String> {
        let mut previous: Option<Value> = None;
        let mut addresses = Vec::new();
        for plugin in &list.plugins {
            let with = Input {
                runtime: &attachment.runtime,
                previous: previous.as_ref(),
                valid: None,
            };
            let target = Target {
                sandbox: &attachment.sandbox,
                namespace,
                arguments: &attachment.arguments,
            };
            let input = list.input(plugin, &with);
            let said = self.ask(list, plugin, Command::Add, Some(&target), &input)?;
            let added = cni_result::read(&said, list.version)
                .map_err(|error| format!("{}: {error}", described(list, plugin, Command::Add)))?;
            addresses = added.addresses;
            previous = Some(added.result);
        }
        if addresses.is_empty() {
            let name = &list.name;
            return Err(format!(
                "network {name:?}: its plugins gave the pod no address"
            ));
        }
        attachment.result = previous;
        Ok(addresses)
    }

    fn delete(&self, sandbox: &str, namespace: &str) -> Result<(), String> {
        let Some(attachment) = self.attachment(sandbox)? else {
            return Ok(());
        };
        if attachment.result.is_none() {
            leftover::end(sandbox);
        }
        let list = PluginList::of(attachment.list.clone()).map_err(|error| error.to_string())?;
        let previous = attachment.result.as_ref();
        let with = Input {
            runtime: &attachment.runtime,
            previous: previous.filter(|_| list.version >= Version::V040),
            valid: None,
        };
        let target = Target {
            sandbox,
            namespace,
            arguments: &attachment.arguments,
        };
        for plugin in list.plugins.iter().rev() {
            let input = list.input(plugin, &with);
            self.ask(&list, plugin, Command::Del, Some(&target), &input)?;
        }
        match fs::remove_file(self.file(sandbox)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    /// Who has an attachment is valid: it is written before ADD, and goes after DEL.
    fn collect(&self) -> Result<(), String> {
        let Some(list) = self.configuration()? else {
            return Ok(());
        };
        if list.version < Version::V110 || list.disable_gc {
            return Ok(());
        }
        let attached = self.attached();
        let valid = attached
            .iter()
            .map(|sandbox| json!({"containerID": sandbox, "ifname": LINK}));
        let (runtime, valid) = (Map::new(), valid.collect());
        let mut failed = Ok(());
        for plugin in &list.plugins {
            let with = Input {
                valid: Some(&valid),
                ..without(&runtime)
            };
            let input = list.input(plugin, &with);
            let asked = self.ask(&list, plugin, Command::Gc, None, &input);
            // All are asked, whatever one says.
            failed = failed.and(asked.map(drop));
        }
        failed
    }

    fn check(&self, sandbox: &str) -> Result<(), String> {
        let Some(attachment) = self.attachment(sandbox)? else {
            return Ok(());
        };
        let list = PluginList::of(attachment.list.clone()).map_err(|error| error.to_string())?;
        let checked = attachment.result.is_some() && list.version >= Version::V040;
        if !checked || list.disable_check {
            return Ok(());
        }
        let with = Input {
            runtime: &attachment.runtime,
            previous: attachment.result.as_ref(),
            valid: None,
        };
        let namespace = self.namespace_of(&attachment);
        let target = Target {
            sandbox,
            namespace: &namespace,
            arguments: &attachment.arguments,
        };
        for plugin in &list.plugins {
            let input = list.input(plugin, &with);
            self.ask(&list, plugin, Command::Check, Some(&target), &input)?;
        }
        Ok(())
    }

    /// As the plugins have named it in their result.
    #[allow(clippy::unused_self)] // beside the others that look into an attachment
    fn namespace_of(&self, attachment: &Attachment) -> String {
        let interfaces = attachment
            .result
            .as_ref()
            .and_then(|result| result.get("interfaces"));
        interfaces
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|interface| interface.get("sandbox").and_then(Value::as_str))
            .find(|sandbox| !sandbox.is_empty())
            .unwrap_or_default()
            .to_owned()
    }

    /// One plugin's answer.
    fn ask(
        &self,
        list: &PluginList,
        plugin: &Plugin,
        command: Command,
        target: Option<&Target<'_>>,
        input: &[u8],
    ) -> Result<Vec<u8>, String> {
        let program = self.find(&plugin.program)?;
        let path: Vec<_> = self
            .bin_dirs
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let mut environment = vec![
            ("CNI_COMMAND", command.name().to_owned()),
            ("CNI_PATH", path.join(":")),
        ];
        if let Some(target) = target {
            environment.extend([
                ("CNI_CONTAINERID", target.sandbox.to_owned()),
                ("CNI_NETNS", target.namespace.to_owned()),
                ("CNI_IFNAME", LINK.to_owned()),
                ("CNI_ARGS", target.arguments.to_owned()),
            ]);
        } else if command == Command::Version {
            // What plugins of libcni's skeleton want to be there, as libcni has it.
            environment.extend([
                ("CNI_CONTAINERID", "dummy".to_owned()),
                ("CNI_NETNS", "dummy".to_owned()),
                ("CNI_IFNAME", "dummy".to_owned()),
            ]);
        }
        let failed = |why: String| format!("{}: {why}", described(list, plugin, command));
        let ran = plugin::run(&Run {
            program: &program,
            environment: &environment,
            input,
            output_max: RESULT_MAX,
            timeout: self.timeout,
        })
        .map_err(|error| failed(service::chain(&error)))?;
        if ran.success {
            return Ok(ran.stdout);
        }
        Err(failed(cni_result::error(&ran.stdout).unwrap_or_else(
            || {
                let complaints = cni_result::words(&String::from_utf8_lossy(&ran.stderr));
                if complaints.is_empty() {
                    format!("netplugin failed with no error message: {}", ran.end)
                } else {
                    format!("netplugin failed: {complaints:?}")
                }
            },
        )))
    }

    fn find(&self, program: &str) -> Result<PathBuf, String> {
        let found = self
            .bin_dirs
            .iter()
            .map(|directory| directory.join(program))
            .find(|path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok());
        found.ok_or_else(|| {
            format!(
                "failed to find plugin {program:?} in path {:?}",
                self.bin_dirs
            )
        })
    }

    fn file(&self, sandbox: &str) -> PathBuf {
        self.attachments.join(format!("{sandbox}.json"))
    }

    fn attached(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(&self.attachments)
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| {
                Some(
                    entry
                        .file_name()
                        .to_str()?
                        .strip_suffix(".json")?
                        .to_owned(),
                )
            })
            .collect()
    }

    /// On the disk before a plugin is asked, and after: what plugins keep may be there after a power cut.
    fn keep(&self, attachment: &Attachment) -> Result<(), NetworkError> {
        let file = self.file(&attachment.sandbox);
        let scratch = file.with_extension("new");
        let written = serde_json::to_vec(attachment)
            .map_err(io::Error::from)
            .and_then(|bytes| {
                let mut new = fs::File::create(&scratch)?;
                new.write_all(&bytes)?;
                new.sync_all()
            })
            .and_then(|()| fs::rename(&scratch, &file))
            .and_then(|()| fs::File::open(&self.attachments)?.sync_all());
        written.map_err(NetworkError::at(format!("write {}", file.display())))
    }

    /// Of one that cannot be read, what is configured now is all that is known: its plugins are asked by the sandbox's ID, as those of one
    /// whose `ADD` has given no result.
    fn attachment(&self, sandbox: &str) -> Result<Option<Attachment>, String> {
        let file = self.file(sandbox);
        let bytes = match read_file(&file, ATTACHMENT_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| format!("read {}: {error}", file.display()))?,
        };
        match serde_json::from_slice::<Attachment>(&bytes) {
            Ok(read) if read.version == VERSION && read.sandbox == sandbox => {
                return Ok(Some(read));
            }
            _ => tracing::warn!(sandbox, "what was kept of a pod's network cannot be read"),
        }
        let Some(list) = self.configuration()? else {
            fs::remove_file(&file).map_err(|error| error.to_string())?;
            return Ok(None);
        };
        Attachment::new(sandbox, &PodSandboxConfig::default(), &list, &[]).map(Some)
    }
}

/// As libcni describes a failed plugin.
fn described(list: &PluginList, plugin: &Plugin, command: Command) -> String {
    let (program, name) = (&plugin.program, &list.name);
    let command = command.name().to_lowercase();
    format!("plugin type={program:?} name={name:?} failed ({command})")
}

/// What an earlier runtime was killed at.
fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "new") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn read_file(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::other(format!("it has more than {max} bytes")));
    }
    Ok(bytes)
}
