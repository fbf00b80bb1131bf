//! One sandboxed node, seen from the test.

use super::lab::{self, Lab, Place};
use super::specification::{Link, Specification};
use crate::control::Control;
use crate::leftovers::{self, Scratch};
use crate::programs;
use crate::wait::{Lines, eventually};
use anyhow::{Context as _, Result, bail};
use std::fs::{self, File};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Usual time from the launcher's start to `init` answering on its socket.
pub const INIT_ANSWERS: Duration = Duration::from_secs(2);
/// Usual time of an ordered stop.
pub const STOPS: Duration = Duration::from_secs(3);

/// What to start.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// Machine config to inject; None: maintenance mode.
    pub config: Option<Vec<u8>>,
    /// Host files bound read-only over files of the root.
    pub overlays: Vec<(PathBuf, PathBuf)>,
    /// Arguments of `init` after `--sandbox`, such as `--fail-phase plan`.
    pub arguments: Vec<String>,
    /// Whether `eth0` has the address of its place from the start. Else the node sees to it.
    pub addressed: bool,
    /// The root tree; None: the release's.
    pub root: Option<PathBuf>,
}

/// A node; killed when dropped.
#[derive(Debug)]
pub struct Node<'lab> {
    lab: &'lab Lab,
    place: Place,
    options: NodeOptions,
    scratch: Scratch,
    running: Option<Running>,
    starts: u32,
}

#[derive(Debug)]
struct Running {
    launcher: Child,
    /// What the launcher says.
    reports: Lines,
    console: Lines,
}

impl<'lab> Node<'lab> {
    /// Starts a node on `lab`.
    ///
    /// # Errors
    /// The release or a program is not built, or PID 1 does not start.
    pub fn start(lab: &'lab Lab, options: NodeOptions) -> Result<Self> {
        let scratch = leftovers::scratch("node")?;
        for directory in ["root", "state", "data"] {
            fs::create_dir(scratch.path().join(directory))
                .context("make the node's directories")?;
        }
        let mut node = Self {
            lab,
            place: lab.place()?,
            options,
            scratch,
            running: None,
            starts: 0,
        };
        node.start_again()?;
        Ok(node)
    }

    /// Starts it again, after it has ended, on the same STATE and DATA.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_again(&mut self) -> Result<()> {
        self.starts += 1;
        let path = self.scratch.path();
        let config = match &self.options.config {
            Some(bytes) => {
                let path = path.join("config.yaml");
                fs::write(&path, bytes).context("write the config to inject")?;
                Some(path)
            }
            None => None,
        };
        let specification = Specification {
            name: leftovers::name("node")?,
            root: match &self.options.root {
                Some(root) => root.clone(),
                None => programs::root_tree()?,
            },
            mount_point: path.join("root"),
            state: path.join("state"),
            data: path.join("data"),
            config,
            overlays: self.options.overlays.clone(),
            arguments: self.options.arguments.clone(),
            link: Some(Link {
                lab_end: format!("n{}", self.place.number),
                bridge: lab::BRIDGE.into(),
                hardware_address: self.place.hardware_address,
                address: self
                    .options
                    .addressed
                    .then_some((self.place.address, lab::PREFIX)),
            }),
        };
        let argument = serde_json::to_string(&specification).context("write the specification")?;
        let mut launcher = self.lab.spawn(
            Command::new(programs::built("orlop-sandbox")?)
                .arg(argument)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        )?;
        let name = format!("node {}", self.place.number);
        let stdout = launcher
            .stdout
            .take()
            .context("the launcher's output is piped")?;
        let stderr = launcher
            .stderr
            .take()
            .context("the node's console is piped")?;
        let reports = Lines::follow(
            &format!("{name} launcher"),
            stdout,
            &path.join(format!("launcher-{}.log", self.starts)),
        )?;
        let console = Lines::follow(
            &format!("{name} console"),
            stderr,
            &path.join(format!("console-{}.log", self.starts)),
        )?;
        let running = self.running.insert(Running {
            launcher,
            reports,
            console,
        });
        if let Err(error) = running.reports.wait("boot 1 ", INIT_ANSWERS) {
            bail!("{error:#}\nconsole:\n{}", running.console.tail());
        }
        Ok(())
    }

    fn running(&self) -> Result<&Running> {
        self.running
            .as_ref()
            .context("the node is not running: it was stopped by this test")
    }

    /// What the node writes to its console, over all boots of this start.
    ///
    /// # Errors
    /// It was stopped.
    pub fn console(&self) -> Result<&Lines> {
        Ok(&self.running()?.console)
    }

    /// Its address in the lab.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.place.address
    }

    /// Its lab.
    #[must_use]
    pub fn lab(&self) -> &'lab Lab {
        self.lab
    }

    /// The host directory behind `/system/state`.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    /// The host directory behind `/var`.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// A directory of this node for the test's own files.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The host's pid of PID 1 of the latest boot.
    ///
    /// # Errors
    /// It was stopped.
    pub fn pid(&self) -> Result<i32> {
        let boots = self.running()?.reports.since(0);
        let pid = boots.iter().rev().find_map(|line| {
            line.strip_prefix("boot ")?
                .split_once(" pid ")?
                .1
                .parse()
                .ok()
        });
        pid.context("the node has not booted")
    }

    /// How many times it has booted since its start.
    ///
    /// # Errors
    /// It was stopped.
    pub fn boots(&self) -> Result<u32> {
        let reports = self.running()?.reports.since(0);
        let boots = reports
            .iter()
            .filter(|line| line.starts_with("boot "))
            .count();
        u32::try_from(boots).context("a count of boots fits")
    }

    /// The node's root as this test can see it.
    ///
    /// # Errors
    /// It was stopped.
    pub fn root(&self) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}/root", self.pid()?)))
    }

    /// Runs `work` in a thread of its own inside the node's network namespace. `/proc/sys/net` shows the
    /// values of who looks, so they are looked at from there.
    ///
    /// # Errors
    /// Those of `work`; it was stopped.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = File::open(format!("/proc/{}/ns/net", self.pid()?))
            .context("open the node's network namespace")?;
        lab::inside(namespace.as_fd(), work)
    }

    /// A connection to `init`, as soon as it answers.
    ///
    /// # Errors
    /// It does not answer in time; the error shows the end of the console.
    pub fn control(&self) -> Result<Control> {
        let connected = eventually("init's socket", INIT_ANSWERS, || {
            Ok(Control::connect(&self.root()?).ok())
        });
        connected.with_context(|| {
            self.console().map_or_else(
                |_| String::new(),
                |console| format!("console:\n{}", console.tail()),
            )
        })
    }

    /// Waits for boot number `number` of this start (the first is 1) to begin.
    ///
    /// # Errors
    /// It does not begin in time.
    pub fn wait_boot(&self, number: u32, expected: Duration) -> Result<()> {
        let running = self.running()?;
        match running.reports.wait(&format!("boot {number} "), expected) {
            Ok(_) => Ok(()),
            Err(error) => bail!("{error:#}\nconsole:\n{}", running.console.tail()),
        }
    }

    /// Waits until boot number `number` has ended, and says how: "code 0", "signal 9".
    ///
    /// # Errors
    /// It does not end in time.
    pub fn wait_exit(&self, number: u32, expected: Duration) -> Result<String> {
        let running = self.running()?;
        let prefix = format!("exit {number} ");
        match running.reports.wait(&prefix, expected) {
            Ok(line) => Ok(line.trim_start_matches(&prefix).to_owned()),
            Err(error) => bail!("{error:#}\nconsole:\n{}", running.console.tail()),
        }
    }

    /// Sends a signal to PID 1.
    ///
    /// # Errors
    /// The launcher is gone.
    pub fn signal(&mut self, number: i32) -> Result<()> {
        let running = self.running.as_mut().context("the node is not running")?;
        let orders = running
            .launcher
            .stdin
            .as_mut()
            .context("the launcher takes orders")?;
        writeln!(orders, "signal {number}").context("order a signal")
    }

    /// Ends the node at once, as a power cut does, and leaves STATE and DATA for [`Node::start_again`].
    ///
    /// # Errors
    /// The launcher does not end.
    pub fn cut_power(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            drop(running.launcher.stdin.take());
            running.reports.wait_end(STOPS)?;
            running.launcher.wait().context("wait for the launcher")?;
        }
        Ok(())
    }

    /// The host's pid of process `pid` of the node.
    ///
    /// # Errors
    /// There is none.
    pub fn host_pid(&self, pid: i32) -> Result<i32> {
        let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let wanted = namespace(self.pid()?).context("the node has a PID namespace")?;
        for entry in fs::read_dir("/proc").context("list processes")?.flatten() {
            let Some(host) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let inner = status
                .lines()
                .find_map(|line| line.strip_prefix("NSpid:"))
                .and_then(|numbers| numbers.split_ascii_whitespace().next_back()?.parse().ok());
            if inner == Some(pid) && namespace(host).as_ref() == Some(&wanted) {
                return Ok(host);
            }
        }
        bail!("no process {pid} in the node")
    }

    /// Kills process `pid` of the node.
    ///
    /// # Errors
    /// There is none.
    pub fn kill(&self, pid: i32) -> Result<()> {
        self.signal_process(pid, rustix::process::Signal::KILL.as_raw())
    }

    /// Sends any signal, real-time ones included, to process `pid` of the node.
    ///
    /// # Errors
    /// There is none.
    pub fn signal_process(&self, pid: i32, number: i32) -> Result<()> {
        super::sys::kill(self.host_pid(pid)?, number).context("kill")
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(running) = &self.running
        {
            eprintln!(
                "node {}: launcher:\n{}console (files stay in {}):\n{}",
                self.place.number,
                running.reports.tail(),
                self.scratch.path().display(),
                running.console.tail()
            );
        }
        let _ = self.cut_power();
    }
}
