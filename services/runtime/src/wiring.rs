//! The runtime's parts, put together.

use crate::{
    Args,
    executor::{
        cri::{Api, ImageApi, RuntimeApi},
        images::{Images, ImagesOptions},
        keeper::client::Keeper,
        network::{Network, NetworkOptions},
        pods::{Place, Pods},
        streams::Streaming,
    },
    planner::{
        images::{mirrors::Registries, reference::Reference},
        network::ipam::Range,
    },
};
use http_server::{Listener, Traffic};
use std::{
    error::Error, fs, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc, time::Duration,
};

type Failed = Box<dyn Error + Send + Sync>;

pub(crate) async fn serve(args: Args, context: service::Context) -> Result<(), Failed> {
    let socket = args
        .listen
        .strip_prefix("unix://")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .ok_or_else(|| format!("--listen {}: it is no unix:///PATH", args.listen))?;
    // Streams are plain HTTP, and who has a URL has the stream.
    if !args.streaming_address.is_loopback() {
        let address = args.streaming_address;
        return Err(format!("--streaming-address {address}: it is no address of loopback, and streams are served without TLS").into());
    }
    // Specs have what containers keep secret in their environment. Who is root in a pod's user namespace is somebody else on the host, and
    // has to reach the bundles of his own containers; each bundle is closed to others.
    let directories = [
        (args.root.clone(), 0o700),
        (args.state.clone(), 0o711),
        (args.state.join("containers"), 0o711),
        (args.state.join("sandboxes"), 0o711),
        (args.state.join("oci"), 0o700),
    ];
    for (directory, mode) in directories {
        fs::create_dir_all(&directory)
            .and_then(|()| fs::set_permissions(&directory, fs::Permissions::from_mode(mode)))
            .map_err(|error| format!("make {}: {error}", directory.display()))?;
    }
    let program = std::env::current_exe()?;
    let images = Images::open(images(&args)?).await?;
    let keeper = Keeper::find_or_start(&args.state, &program).await?;
    let place = Place {
        root: args.root.clone(),
        state: args.state.clone(),
        program,
        resolv_conf: args.resolv_conf.clone(),
    };
    let network = Network::open(network(&args)?)?;
    let pods = Pods::open(place, keeper, images.clone(), network).await?;
    // Now that it is known which layers containers have.
    images.collect().await?;
    let follower = tokio::spawn({
        let pods = pods.clone();
        async move { pods.follow().await }
    });
    let collector = tokio::spawn(pods.collect_networks());
    let (address, port) = (args.streaming_address, args.streaming_port);
    let (streaming, streams) = Streaming::listen(pods.clone(), address, port)
        .await
        .map_err(|error| format!("listen at {address}:{port} for streams: {error}"))?;
    let streamer = tokio::spawn(streaming.clone().serve(streams));
    let runtime = RuntimeApi::new(pods.clone(), streaming);
    let api = Api::new(runtime, ImageApi::new(images, pods));
    let listener = Listener::unix(socket)?;
    context.ready();
    let stopping = {
        let context = context.clone();
        move || {
            let context = context.clone();
            async move { context.stopping().await }
        }
    };
    listener
        .serve(api, Arc::new(Traffic::default()), stopping)
        .await;
    follower.abort();
    collector.abort();
    streamer.abort();
    Ok(())
}

fn images(args: &Args) -> Result<ImagesOptions, Failed> {
    let mut options = ImagesOptions::new(args.root.join("images"));
    options.resolv_conf.clone_from(&args.resolv_conf);
    options.ca_bundle.clone_from(&args.ca_bundle);
    if let Some(path) = &args.registries {
        let text = fs::read(path).map_err(|error| format!("read {}: {error}", path.display()))?;
        options.registries = Registries::read(&text)
            .map_err(|error| format!("{}: {}", path.display(), service::chain(&error)))?;
    }
    for name in &args.pinned {
        let pinned = Reference::parse(name)
            .map_err(|error| format!("--pinned {name}: {}", service::chain(&error)))?;
        options.pinned.push(pinned);
    }
    Ok(options)
}

fn network(args: &Args) -> Result<NetworkOptions, Failed> {
    let pod_cidrs = match args.pod_cidr.join(",").as_str() {
        "" => Vec::new(),
        list => Range::parse_list(list).map_err(|error| format!("--pod-cidr: {error}"))?,
    };
    Ok(NetworkOptions {
        root: args.root.join("network"),
        cni_conf_dir: args.cni_conf_dir.clone(),
        cni_bin_dirs: args.cni_bin_dir.clone(),
        cni_plugin_timeout: Duration::from_secs(args.cni_plugin_timeout),
        pod_cidrs,
    })
}
