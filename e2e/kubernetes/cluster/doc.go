// Package cluster runs a real Kubernetes of one node on a bare Debian machine, for tests and for trying things out. There is
// no container engine, no registry and no virtual machine: the components are processes of the machine, containers are
// containerd's.
//
// # Where things are
//
//   - The node lives in the network namespace `ferromesh`: all components, the API server included, so that it reaches
//     Services and webhooks as it does on any cluster. A pair of virtual links is the only way in: the machine is
//     10.211.0.1, the node 10.211.0.2. From the machine, the API server and every NodePort are there; nothing leads out.
//   - All processes and pods are below the cgroup `ferromesh`. That, and the recorded ids with start times, is how they are
//     found when the cluster stops; no process is ever looked for by its name.
//   - /run/ferromesh holds what a restart of the machine ends anyway: records, sockets, containerd's state.
//   - $FERROMESH_CACHE/cluster holds the kubeconfig, keys, etcd's data, volumes, a note on how the machine was before
//     (traces.json), logs, and containerd's images. Only the last two outlive `cluster down`: every start makes a new
//     cluster, but no image has to be loaded again.
//
// # How it starts
//
// `up` makes what is missing and starts what does not run, in the order of need, so that the same code starts a cluster,
// ends an interrupted start and mends one whose component has died. Where mending does not help, it stops everything and
// starts afresh. Nothing supervises the components between two commands.
//
// # Traps
//
// Each of these cost time to find.
//
//   - A process inherits its network namespace and its v1 cgroups from the thread that forks it. So a goroutine locks its
//     thread, moves it, starts the component and is never unlocked, which ends the thread. `ip netns exec` would not do: it
//     mounts another /sys, without cgroups.
//   - The namespace needs a default route, or connecting to the address of a Service fails with EINVAL before the rules of
//     kube-proxy see the packet. It leads to a bridge without ports; not every kernel has dummy devices.
//   - The CNI plugin is ptp and not bridge: pods on one bridge answer each other past the node's rules, so that the answer of
//     a Service comes from the wrong address, unless the kernel has br_netfilter and it is switched on.
//   - Without CAP_SYS_RESOURCE, oom_score_adj cannot be lowered, and every sandbox dies with "can't get final child's PID
//     from pipe: EOF". containerd's restrict_oom_score_adj cures it.
//   - The conntrack limits belong to the machine; kube-proxy must be told to leave them alone or it does not start.
//   - The kubelet changes settings of the kernel and uses folders that no option moves (traces.go): both are put back.
//   - The controller manager starts its controllers one after the other, each with requests of its own; at the default rate
//     of requests that takes longer than all the rest.
//   - A probe whose first try comes before its container is running waits a whole period for the second. Pods that should
//     start quickly have startup probes with a period of one second; the default is ten.
//   - containerd's records of containers outlive its death. Those of a stopped cluster are removed while it still runs, or
//     the next start would first have to take down the pods of the last one.
//   - A static glibc program crashes when it resolves names: don't try the DNS with one.
package cluster
