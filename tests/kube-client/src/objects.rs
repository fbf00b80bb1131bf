//! Each call of an `Api`, typed and dynamic, and what it answers.

use crate::refused;
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Service, ServiceAccount};
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, EvictParams, GroupVersionKind, ListParams, Patch,
    PatchParams, PostParams, Preconditions, ValidationDirective,
};
use kube::discovery::{Discovery, Scope, verbs};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

const NAMESPACE: &str = "kube-rs";

pub async fn run(client: &Client) -> Result<()> {
    discovery(client).await.context("discovery")?;
    namespace(client).await.context("namespace")?;
    let configs: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    reads_and_lists(&configs).await.context("reads and lists")?;
    patches(&configs).await.context("patches")?;
    replaces(&configs).await.context("replaces")?;
    deletes(&configs).await.context("deletes")?;
    deployments(client).await.context("deployments")?;
    pods(client).await.context("pods")?;
    services_and_nodes(client)
        .await
        .context("services and nodes")?;
    dynamic(client).await.context("dynamic objects")
}

fn typed<K: k8s_openapi::serde::de::DeserializeOwned>(value: Value) -> Result<K> {
    Ok(serde_json::from_value(value)?)
}

fn merge(value: Value) -> Patch<Value> {
    Patch::Merge(value)
}

async fn discovery(client: &Client) -> Result<()> {
    let version = client.apiserver_version().await?;
    println!("version {}.{}", version.major, version.minor);
    let one_by_one = Discovery::new(client.clone()).run().await?;
    let aggregated = Discovery::new(client.clone()).run_aggregated().await?;
    let all = |discovery: &Discovery| {
        let mut found: Vec<String> = Vec::new();
        for group in discovery.groups() {
            for (resource, capabilities) in group.recommended_resources() {
                found.push(format!(
                    "{}/{} {:?}",
                    resource.api_version, resource.plural, capabilities.scope
                ));
            }
        }
        found.sort();
        found
    };
    ensure!(
        all(&one_by_one) == all(&aggregated),
        "the two ways of discovery find the same"
    );
    let deployment = GroupVersionKind::gvk("apps", "v1", "Deployment");
    let (resource, capabilities) = aggregated
        .resolve_gvk(&deployment)
        .context("Deployments are there")?;
    ensure!(
        capabilities.scope == Scope::Namespaced && capabilities.supports_operation(verbs::WATCH)
    );
    let mut below: Vec<&str> = capabilities
        .subresources
        .iter()
        .map(|(below, _)| below.plural.as_str())
        .collect();
    below.sort_unstable();
    println!(
        "{} {} with {}",
        resource.api_version,
        resource.plural,
        below.join(", ")
    );
    Ok(())
}

async fn namespace(client: &Client) -> Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    let made = api
        .create(
            &PostParams::default(),
            &typed(json!({"metadata": {"name": NAMESPACE}}))?,
        )
        .await?;
    let phase = made.status.and_then(|status| status.phase);
    println!("namespace {}", phase.context("a phase")?);
    let again = api
        .create(
            &PostParams::default(),
            &typed(json!({"metadata": {"name": NAMESPACE}}))?,
        )
        .await;
    refused("the same namespace again", again)
}

async fn reads_and_lists(api: &Api<ConfigMap>) -> Result<()> {
    for (number, tier) in (1..=5).zip(["web", "db", "web", "db", "web"]) {
        let object = typed(json!({
            "metadata": {"name": format!("c{number}"), "labels": {"tier": tier}}, "data": {"x": number.to_string()}
        }))?;
        api.create(&PostParams::default(), &object).await?;
    }
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    api.create(&dry, &typed(json!({"metadata": {"name": "dry"}}))?)
        .await?;
    println!(
        "dry: {:?}",
        api.get_opt("dry").await?.map(|object| object.name_any())
    );
    println!("c1: {:?}", api.get("c1").await?.data.unwrap_or_default());
    refused("get of what is not there", api.get("none").await)?;
    let metadata = api.get_metadata("c1").await?;
    println!(
        "metadata of c1: {:?} {:?}",
        metadata.types.context("a type")?.kind,
        metadata.metadata.labels.unwrap_or_default()
    );
    let names = |list: Vec<ConfigMap>| -> Vec<String> {
        list.iter().map(kube::ResourceExt::name_any).collect()
    };
    let web = ListParams::default().labels("tier in (web)");
    println!("web: {:?}", names(api.list(&web).await?.items));
    let not = ListParams::default()
        .labels("tier!=web")
        .fields("metadata.name!=c4");
    println!("others but c4: {:?}", names(api.list(&not).await?.items));
    let mut page = ListParams::default().limit(2);
    loop {
        let list = api.list(&page).await?;
        println!(
            "page: {:?}, {:?} more",
            names(list.items),
            list.metadata.remaining_item_count
        );
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    println!(
        "a token of one's own: {}",
        code(
            api.list(&ListParams::default().continue_token("nonsense"))
                .await
        )?
    );
    let metadata = api.list_metadata(&web).await?;
    let names: Vec<String> = metadata
        .items
        .iter()
        .map(kube::ResourceExt::name_any)
        .collect();
    println!("metadata of web: {names:?}");
    let version = metadata.metadata.resource_version.context("a version")?;
    let exact = ListParams::default()
        .at(&version)
        .matching(kube::api::VersionMatch::Exact);
    println!("at that version: {}", api.list(&exact).await?.items.len());
    refused(
        "an unknown field",
        api.list(&ListParams::default().fields("data.x=1")).await,
    )?;
    refused(
        "no selector",
        api.list(&ListParams::default().labels("a in")).await,
    )
}

async fn patches(api: &Api<ConfigMap>) -> Result<()> {
    let plain = PatchParams::default();
    let data = |object: ConfigMap| object.data.unwrap_or_default();
    let merged = api
        .patch("c1", &plain, &merge(json!({"data": {"y": "2", "x": null}})))
        .await?;
    println!("merge: {:?}", data(merged));
    let tested = |value: &str| -> Result<Patch<()>> {
        let operations = json!([
            {"op": "test", "path": "/data/y", "value": value}, {"op": "add", "path": "/data/z", "value": "3"}
        ]);
        Ok(Patch::Json(serde_json::from_value(operations)?))
    };
    println!(
        "json: {:?}",
        data(api.patch("c1", &plain, &tested("2")?).await?)
    );
    refused(
        "json, whose test fails",
        api.patch("c1", &plain, &tested("3")?).await,
    )?;
    let strategic = Patch::Strategic(json!({"data": {"$patch": "replace", "only": "this"}}));
    println!(
        "strategic: {:?}",
        data(api.patch("c1", &plain, &strategic).await?)
    );
    refused(
        "of what is not there",
        api.patch("none", &plain, &merge(json!({}))).await,
    )?;
    println!(
        "a number for a text: {}",
        code(
            api.patch("c1", &plain, &merge(json!({"data": {"x": 1}})))
                .await
        )?
    );
    let strict = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    println!(
        "an unknown field: {}",
        code(api.patch("c1", &strict, &merge(json!({"date": {}}))).await)?
    );
    let metadata = api
        .patch_metadata(
            "c1",
            &plain,
            &merge(json!({"metadata": {"labels": {"tier": "new"}}})),
        )
        .await?;
    println!(
        "metadata: {:?}",
        metadata.metadata.labels.unwrap_or_default()
    );
    Ok(())
}

async fn replaces(api: &Api<ConfigMap>) -> Result<()> {
    let old = api.get("c2").await?;
    let mut new = old.clone();
    new.data = Some([("x".to_owned(), "new".to_owned())].into());
    let replaced = api.replace("c2", &PostParams::default(), &new).await?;
    ensure!(version(&replaced)? > version(&old)? && replaced.uid() == old.uid());
    println!("replaced: {:?}", replaced.data.unwrap_or_default());
    refused(
        "by an old version",
        api.replace("c2", &PostParams::default(), &new).await,
    )?;
    let mut other = api.get("c2").await?;
    other.metadata.uid = Some("00000000-0000-0000-0000-000000000000".into());
    refused(
        "of another uid",
        api.replace("c2", &PostParams::default(), &other).await,
    )?;
    refused(
        "under another name",
        api.replace("c3", &PostParams::default(), &api.get("c2").await?)
            .await,
    )
}

fn version(object: &ConfigMap) -> Result<u64> {
    Ok(object.resource_version().context("a version")?.parse()?)
}

async fn deletes(api: &Api<ConfigMap>) -> Result<()> {
    let with = |uid: Option<String>, resource_version: Option<String>| {
        DeleteParams::default().preconditions(Preconditions {
            uid,
            resource_version,
        })
    };
    let object = api.get("c2").await?;
    let wrong = "00000000-0000-0000-0000-000000000000".to_owned();
    println!(
        "of another uid: {}",
        code(api.delete("c2", &with(Some(wrong), None)).await)?
    );
    println!(
        "of another version: {}",
        code(api.delete("c2", &with(None, Some("1".into()))).await)?
    );
    let right = with(object.uid(), object.resource_version());
    let status = api
        .delete("c2", &right)
        .await?
        .right()
        .context("a Status")?;
    println!(
        "deleted: {:?} {:?}",
        status.status.context("an outcome")?,
        status.details.context("details")?.name
    );
    refused(
        "what is gone",
        api.delete("c2", &DeleteParams::default()).await,
    )?;
    let dry = DeleteParams::default().dry_run();
    api.delete_collection(&dry, &ListParams::default()).await?;
    println!(
        "after a dry run: {}",
        api.list(&ListParams::default()).await?.items.len()
    );
    // One that is held by a finalizer is marked, and is there until that is taken away.
    api.patch(
        "c3",
        &PatchParams::default(),
        &merge(json!({"metadata": {"finalizers": ["example.test/held"]}})),
    )
    .await?;
    let gone = api
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await?;
    println!(
        "a collection: {} objects in the answer",
        gone.left().context("a list")?.items.len()
    );
    let left = api.list(&ListParams::default()).await?.items;
    let held = left.first().context("the held one")?;
    println!(
        "held: {} {}, marked: {}",
        left.len(),
        held.name_any(),
        held.metadata.deletion_timestamp.is_some()
    );
    let added =
        merge(json!({"metadata": {"finalizers": ["example.test/held", "example.test/more"]}}));
    refused(
        "one more finalizer",
        api.patch("c3", &PatchParams::default(), &added).await,
    )?;
    api.patch(
        "c3",
        &PatchParams::default(),
        &merge(json!({"metadata": {"finalizers": null}})),
    )
    .await?;
    println!(
        "at last: {}",
        api.list(&ListParams::default()).await?.items.len()
    );
    Ok(())
}

/// Code and reason of what was refused: these messages have a uid, a version or a parser's own words in them.
fn code<T>(answer: kube::Result<T>) -> Result<String> {
    match answer {
        Err(kube::Error::Api(status)) => Ok(format!("{} {}", status.code, status.reason)),
        Err(other) => Err(other.into()),
        Ok(_) => Ok("not refused".into()),
    }
}

async fn deployments(client: &Client) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let template = json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "example.test/web:1", "ports": [{"containerPort": 80}]}]}
    });
    let deployment = json!({
        "metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    });
    let made = api
        .create(&PostParams::default(), &typed(deployment)?)
        .await?;
    let spec = made.spec.context("a spec")?;
    println!(
        "deployment: {:?} replicas, generation {:?}",
        spec.replicas, made.metadata.generation
    );
    let strategic = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "image": "example.test/web:2"}, {"name": "side", "image": "example.test/side:1"}
    ]}}}}));
    let patched = api
        .patch("web", &PatchParams::default(), &strategic)
        .await?;
    let pod = patched
        .spec
        .context("a spec")?
        .template
        .spec
        .context("a spec")?;
    let containers: Vec<String> = pod
        .containers
        .iter()
        .map(|container| {
            format!(
                "{} {:?} {}",
                container.name,
                container.image,
                container.ports.iter().flatten().count()
            )
        })
        .collect();
    println!(
        "strategic: {containers:?}, generation {:?}",
        patched.metadata.generation
    );
    let scale = api.get_scale("web").await?;
    println!("scale: {:?}", scale.spec.context("a spec")?.replicas);
    let scaled = api
        .patch_scale(
            "web",
            &PatchParams::default(),
            &merge(json!({"spec": {"replicas": 4}})),
        )
        .await?;
    println!(
        "scaled: {:?} {:?}",
        scaled.spec.as_ref().and_then(|spec| spec.replicas),
        scaled
            .status
            .as_ref()
            .and_then(|status| status.selector.clone())
    );
    let replaced = api
        .replace_scale("web", &PostParams::default(), &scaled)
        .await?;
    ensure!(
        replaced.metadata.resource_version == scaled.metadata.resource_version,
        "nothing has changed"
    );
    refused(
        "less than nothing",
        api.patch_scale(
            "web",
            &PatchParams::default(),
            &merge(json!({"spec": {"replicas": -1}})),
        )
        .await,
    )?;
    let both =
        merge(json!({"spec": {"replicas": 9}, "status": {"replicas": 4, "readyReplicas": 3}}));
    let status = api
        .patch_status("web", &PatchParams::default(), &both)
        .await?;
    println!(
        "by its status: {:?} replicas wanted, {:?} ready, generation {:?}",
        status.spec.as_ref().and_then(|spec| spec.replicas),
        status
            .status
            .as_ref()
            .and_then(|status| status.ready_replicas),
        status.metadata.generation
    );
    let mut object = api.get_status("web").await?;
    object.status.get_or_insert_default().ready_replicas = Some(4);
    let ready = api
        .replace_status("web", &PostParams::default(), &object)
        .await?;
    println!(
        "replaced: {:?} ready",
        ready.status.and_then(|status| status.ready_replicas)
    );
    let plain = api
        .patch(
            "web",
            &PatchParams::default(),
            &merge(json!({"status": {"readyReplicas": 1}})),
        )
        .await?;
    println!(
        "by the object: {:?} ready",
        plain.status.and_then(|status| status.ready_replicas)
    );
    let apply = PatchParams::apply("kube-rs");
    println!(
        "server-side apply: {}",
        code(
            api.patch(
                "web",
                &apply,
                &Patch::Apply(json!({
                    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}
                }))
            )
            .await
        )?
    );
    let marked = api.delete("web", &DeleteParams::foreground()).await?;
    let marked = marked
        .left()
        .context("what waits for its dependents is shown")?;
    println!(
        "foreground: {:?}",
        marked.metadata.finalizers.unwrap_or_default()
    );
    Ok(())
}

async fn pods(client: &Client) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    accounts
        .create(
            &PostParams::default(),
            &typed(json!({"metadata": {"name": "default"}}))?,
        )
        .await?;
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "example.test/c:1"}]}});
    let made = api.create(&PostParams::default(), &typed(pod)?).await?;
    let status = made.status.context("a status")?;
    println!("pod: {:?} {:?}", status.phase, status.qos_class);
    let pending = ListParams::default().fields("status.phase=Pending,spec.nodeName=");
    println!("pending: {}", api.list(&pending).await?.items.len());
    let running = merge(
        json!({"status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}}),
    );
    let status = api
        .patch_status("p", &PatchParams::default(), &running)
        .await?
        .status
        .context("a status")?;
    println!("its status: {:?} {:?}", status.phase, status.pod_ip);
    println!("pending: {}", api.list(&pending).await?.items.len());
    let image = merge(json!({"spec": {"nodeName": "elsewhere"}}));
    refused_shortly(
        "another node",
        api.patch("p", &PatchParams::default(), &image).await,
    )?;
    api.evict("p", &EvictParams::default()).await?;
    println!(
        "evicted: {:?}",
        api.get_opt("p").await?.map(|pod| pod.name_any())
    );
    Ok(())
}

/// As [`refused`], with as much of the message as does not show whole objects.
fn refused_shortly<T>(what: &str, answer: kube::Result<T>) -> Result<()> {
    let shortened = answer.map_err(|error| match error {
        kube::Error::Api(mut status) => {
            status.message = status.message.lines().next().unwrap_or_default().to_owned();
            kube::Error::Api(status)
        }
        other => other,
    });
    refused(what, shortened)
}

async fn services_and_nodes(client: &Client) -> Result<()> {
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    let service = json!({"metadata": {"name": "s"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}});
    let made = services
        .create(&PostParams::default(), &typed(service)?)
        .await?;
    let spec = made.spec.context("a spec")?;
    ensure!(
        spec.cluster_ip
            .as_ref()
            .is_some_and(|ip| spec.cluster_ips.as_ref() == Some(&vec![ip.clone()]))
    );
    println!(
        "service: {:?} {:?} {:?}",
        spec.type_, spec.ip_families, spec.session_affinity
    );
    let nodes: Api<Node> = Api::all(client.clone());
    nodes
        .create(
            &PostParams::default(),
            &typed(json!({"metadata": {"name": "n1"}}))?,
        )
        .await?;
    let cordoned = nodes.cordon("n1").await?;
    println!(
        "cordoned: {:?}",
        cordoned.spec.context("a spec")?.unschedulable
    );
    let free = nodes.uncordon("n1").await?;
    println!(
        "uncordoned, unschedulable: {}",
        free.spec
            .and_then(|spec| spec.unschedulable)
            .unwrap_or_default()
    );
    let capacity = merge(json!({"status": {"capacity": {"cpu": "2000m", "memory": "4Gi"}}}));
    let node = nodes
        .patch_status("n1", &PatchParams::default(), &capacity)
        .await?;
    println!(
        "capacity: {:?}",
        node.status
            .and_then(|status| status.capacity)
            .unwrap_or_default()
    );
    nodes.delete("n1", &DeleteParams::default()).await?;
    Ok(())
}

async fn dynamic(client: &Client) -> Result<()> {
    let kind = GroupVersionKind::gvk("coordination.k8s.io", "v1", "Lease");
    let (resource, capabilities) = kube::discovery::pinned_kind(client, &kind).await?;
    ensure!(capabilities.scope == Scope::Namespaced);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
    let lease = DynamicObject::new("l", &resource)
        .data(json!({"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}));
    let made = api.create(&PostParams::default(), &lease).await?;
    println!(
        "dynamic: {} {}",
        made.types.clone().context("a type")?.kind,
        made.data["spec"]
    );
    let patched = api
        .patch(
            "l",
            &PatchParams::default(),
            &merge(json!({"spec": {"holderIdentity": "you"}})),
        )
        .await?;
    println!("patched: {}", patched.data["spec"]["holderIdentity"]);
    let wrong = api
        .patch(
            "l",
            &PatchParams::default(),
            &merge(json!({"spec": {"leaseDurationSeconds": 0}})),
        )
        .await;
    refused("no time at all", wrong)?;
    println!(
        "listed: {}",
        api.list(&ListParams::default()).await?.items.len()
    );
    let unknown = ApiResource::from_gvk(&GroupVersionKind::gvk("example.test", "v1", "Thing"));
    let things: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &unknown);
    refused(
        "a kind that is not there",
        things.list(&ListParams::default()).await,
    )?;
    refused(
        "and its group",
        kube::discovery::pinned_kind(
            client,
            &GroupVersionKind::gvk("example.test", "v1", "Thing"),
        )
        .await,
    )
}
