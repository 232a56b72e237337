package cluster

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// status is how the cluster is; its JSON is what `cluster status -o json` prints.
type status struct {
	Healthy bool `json:"healthy"`
	// Problems says what keeps it from being healthy.
	Problems   []string          `json:"problems,omitempty"`
	Kubeconfig string            `json:"kubeconfig"`
	Context    string            `json:"context"`
	Node       *node             `json:"node,omitempty"`
	Components []componentStatus `json:"components"`
}

type componentStatus struct {
	Name          string `json:"name"`
	Running       bool   `json:"running"`
	PID           int    `json:"pid,omitempty"`
	ResidentBytes int64  `json:"residentBytes,omitempty"`
}

// status looks at the processes and asks the API server. It changes nothing.
func (l layout) status() status {
	s := status{Kubeconfig: l.kubeconfig(), Context: contextName}
	stopped := map[string]bool{}
	for _, name := range componentNames {
		c := componentStatus{Name: name}
		if p, found := l.recorded(name); found && p.alive() {
			c.Running, c.PID, c.ResidentBytes = true, p.PID, p.residentBytes()
		} else {
			stopped[name] = true
			s.Problems = append(s.Problems, name+" is not running")
		}
		s.Components = append(s.Components, c)
	}
	if len(stopped) == len(componentNames) {
		s.Problems = []string{"there is no cluster; `make cluster-up` starts one"}
		return s
	}
	if err := l.checkOwner(); err != nil {
		s.Problems = append(s.Problems, err.Error())
		return s
	}
	if !networkExists() {
		s.Problems = append(s.Problems, "the node's network is gone")
		return s
	}
	if stopped["etcd"] || stopped["kube-apiserver"] {
		// There is nobody who could answer.
		return s
	}
	s.ask(l)
	s.Healthy = len(s.Problems) == 0
	return s
}

// ask adds what only the servers know. It stops at the first problem: what comes after would only follow from it.
func (s *status) ask(l layout) {
	if err := s.askServers(l); err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
}

func (s *status) askServers(l layout) error {
	client, err := l.api()
	if err != nil {
		return err
	}
	if err := client.ready(); err != nil {
		return fmt.Errorf("the API server is not ready: %w", err)
	}
	found, err := client.node()
	if err != nil {
		return fmt.Errorf("there is no node: %w", err)
	}
	s.Node = &found
	if !found.Ready {
		return fmt.Errorf("the node is not ready: %s", found.Reason)
	}
	if err := client.kubeletReady(); err != nil {
		return fmt.Errorf("the kubelet does not answer: %w", err)
	}
	if err := client.namesReady(); err != nil {
		return fmt.Errorf("CoreDNS is not ready: %w", err)
	}
	return nil
}

// print writes the status for people.
func (s status) print(out io.Writer) error {
	if s.Node != nil {
		state := "ready"
		if !s.Node.Ready {
			state = "not ready"
		}
		fmt.Fprintf(out, "node        %s, %s, at %s, %s\n", s.Node.Name, s.Node.Version, s.Node.Address, state)
	}
	if s.Healthy {
		fmt.Fprintf(out, "kubeconfig  %s, context %s\n", s.Kubeconfig, s.Context)
	}
	if s.Node != nil || s.Healthy {
		fmt.Fprintln(out)
	}
	if s.anyRunning() {
		if err := s.printComponents(out); err != nil {
			return err
		}
	}
	for _, problem := range s.Problems {
		fmt.Fprintln(out, problem)
	}
	return nil
}

func (s status) anyRunning() bool {
	for _, c := range s.Components {
		if c.Running {
			return true
		}
	}
	return false
}

func (s status) printComponents(out io.Writer) error {
	const megabyte = 1 << 20
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tPID\tMEMORY")
	var total int64
	for _, c := range s.Components {
		if !c.Running {
			fmt.Fprintf(table, "%s\t-\tnot running\n", c.Name)
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%d MB\n", c.Name, c.PID, c.ResidentBytes/megabyte)
		total += c.ResidentBytes
	}
	fmt.Fprintf(table, "together\t\t%d MB\n", total/megabyte)
	return table.Flush()
}

// printJSON writes the status for programs.
func (s status) printJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}
