//! Where a pod's network namespace is, by the processes of its node.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file of a pod's network namespace: that of any of its processes, which its cgroup names by the pod's uid. `None` if none of them runs,
/// or they are in the node's own namespace, which is nobody's to change.
///
/// # Errors
/// When the processes can't be listed.
pub(super) fn of_pod(processes: &Path, uid: &str) -> io::Result<Option<PathBuf>> {
    // The kubelet writes the uid with dashes, systemd's slices with underscores.
    let forms = [format!("pod{uid}"), format!("pod{}", uid.replace('-', "_"))];
    let own = fs::read_link(processes.join("self/ns/net")).ok();
    for entry in fs::read_dir(processes)? {
        let folder = entry?.path();
        if !folder.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit())) {
            continue;
        }
        // A process that has ended meanwhile is none of the pod's.
        let cgroup = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
        if !forms.iter().any(|form| cgroup.contains(form.as_str())) {
            continue;
        }
        let file = folder.join("ns/net");
        if let Ok(namespace) = fs::read_link(&file)
            && Some(&namespace) != own.as_ref()
        {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const UID: &str = "5f0c0b1e-0000-4000-8000-000000000001";

    fn process(folder: &Path, id: &str, cgroup: &str, namespace: &str) {
        fs::create_dir_all(folder.join(id).join("ns")).unwrap();
        fs::write(folder.join(id).join("cgroup"), cgroup).unwrap();
        symlink(namespace, folder.join(id).join("ns/net")).unwrap();
    }

    #[test]
    fn a_pods_namespace_is_that_of_its_processes_and_never_the_nodes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        process(folder, "self", "0::/", "net:[1]");
        process(folder, "1", "0::/init.scope\n", "net:[1]");
        assert_eq!(of_pod(folder, UID).unwrap(), None);
        process(folder, "7", &format!("4:memory:/kubepods/besteffort/pod{UID}/abc\n"), "net:[1]");
        assert_eq!(of_pod(folder, UID).unwrap(), None, "a pod in the node's network");
        let slice = UID.replace('-', "_");
        process(folder, "8", &format!("0::/kubepods.slice/kubepods-pod{slice}.slice/cri-containerd-x.scope\n"), "net:[2]");
        assert_eq!(of_pod(folder, UID).unwrap(), Some(folder.join("8/ns/net")));
        assert_eq!(of_pod(folder, "5f0c0b1e-0000-4000-8000-000000000002").unwrap(), None);
    }
}
