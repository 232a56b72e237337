// The program of the local cluster: every component of Kubernetes, kubectl, and the command `cluster` that runs them, in
// one executable.
//
// One program instead of eight: the components share most of their code, so it is 140 MB and four minutes of building
// instead of several times that; and it needs no download but Go modules, whose hashes go.sum has. It acts by the name it is
// called by; build.sh makes a link for each component. What may only be built with other versions of the same libraries has
// a program and a module of its own: CoreDNS (coredns/), and helm, which build.sh installs.
//
// The versions hang together: go.mod requires k8s.io/kubernetes, and replaces each library that Kubernetes itself requires at
// v0.0.0 (it keeps them in its own tree) by that library's release of the same minor and patch version. Those at a
// pseudo-version stay as they are. Raising the version means changing that line, all replacements, and build.sh.
//
// How the cluster works is told in package cluster.
package main
