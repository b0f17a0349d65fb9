//! A pod as kubelet has one made: `nsscope-test-cri SOCKET IMAGE NAME`.
//!
//! Makes a pod of two containers that share its pid namespace, prints their ids as JSON, runs a probe in the first for
//! each line of standard input, and removes all of it at the end of that.

use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, ExecSyncRequest, ImageSpec, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
    RemovePodSandboxRequest, RunPodSandboxRequest, StartContainerRequest, StopPodSandboxRequest,
};
use std::error::Error;
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(socket), Some(image), Some(name)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: nsscope-test-cri SOCKET IMAGE NAME".into());
    };
    let mut client = RuntimeServiceClient::connect(format!("unix://{socket}")).await?;
    let namespaces = NamespaceOption {
        // The machine's network, so that no plugin is needed.
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Pod.into(),
        ipc: NamespaceMode::Pod.into(),
        ..NamespaceOption::default()
    };
    let context = LinuxSandboxSecurityContext { namespace_options: Some(namespaces.clone()), ..Default::default() };
    let sandbox = PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.clone(),
            uid: "1b3c5d7e-0000-4000-8000-123456789abc".into(),
            namespace: "prod".into(),
            attempt: 0,
        }),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: "/kubepods/besteffort/pod1b3c5d7e-0000-4000-8000-123456789abc".into(),
            security_context: Some(context),
            ..LinuxPodSandboxConfig::default()
        }),
        ..PodSandboxConfig::default()
    };
    let run = RunPodSandboxRequest { config: Some(sandbox.clone()), runtime_handler: String::new() };
    let pod = client.run_pod_sandbox(run).await?.into_inner().pod_sandbox_id;
    let mut containers = Vec::new();
    for container in ["front", "back"] {
        let security = k8s_cri::v1::LinuxContainerSecurityContext {
            namespace_options: Some(namespaces.clone()),
            ..Default::default()
        };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: container.into(), attempt: 0 }),
            image: Some(ImageSpec { image: image.clone(), ..ImageSpec::default() }),
            command: ["/bin/busybox", "sleep", "6000"].map(String::from).to_vec(),
            linux: Some(k8s_cri::v1::LinuxContainerConfig { security_context: Some(security), ..Default::default() }),
            ..ContainerConfig::default()
        };
        let create = CreateContainerRequest {
            pod_sandbox_id: pod.clone(),
            config: Some(config),
            sandbox_config: Some(sandbox.clone()),
        };
        let id = client.create_container(create).await?.into_inner().container_id;
        client.start_container(StartContainerRequest { container_id: id.clone() }).await?;
        containers.push(id);
    }
    println!("{}", serde_json::json!({ "pod": pod, "containers": containers }));

    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        let probe = ExecSyncRequest {
            container_id: containers[0].clone(),
            cmd: ["/bin/busybox", "true"].map(String::from).to_vec(),
            timeout: 0,
        };
        let answer = client.exec_sync(probe).await?.into_inner();
        println!("{}", answer.exit_code);
    }
    client.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: pod.clone() }).await?;
    client.remove_pod_sandbox(RemovePodSandboxRequest { pod_sandbox_id: pod }).await?;
    Ok(())
}
