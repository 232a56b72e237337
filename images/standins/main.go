// Command standin plays the servers that Istio's samples deploy (httpbin, helloworld, tcp-echo)
// where their images can't be pulled, and a service with gRPC's health protocol. It is test material: it answers as they do in what tests and
// tutorials look at.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const usage = `usage: standin httpbin [ADDRESS]        HTTP request and response service (default :80)
       standin helloworld [ADDRESS]     says its version and host name (default :5000)
       standin tcp-echo PORTS PREFIX    sends each line back after PREFIX; PORTS: 9000,9001
       standin grpc-health PORT         says by gRPC's health protocol that it is well
       nc HOST PORT                     connects standard input and output to HOST`

func main() {
	if err := run(filepath.Base(os.Args[0]), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run starts the role that the program's name or its first argument gives.
func run(program string, args []string) error {
	if program == "nc" {
		args = append([]string{"nc"}, args...)
	}
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch role, rest := args[0], args[1:]; {
	case role == "httpbin" && len(rest) <= 1:
		return serve(address(rest, ":80"), httpbin())
	case role == "helloworld" && len(rest) <= 1:
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		return serve(address(rest, ":5000"), helloworld(os.Getenv("SERVICE_VERSION"), host))
	case role == "tcp-echo" && len(rest) == 2:
		return tcpEcho(strings.Split(rest[0], ","), rest[1])
	case role == "grpc-health" && len(rest) == 1:
		return grpcHealth(":" + rest[0])
	case role == "nc" && len(rest) == 2:
		return netcat(net.JoinHostPort(rest[0], rest[1]), os.Stdin, os.Stdout)
	}
	return errors.New(usage)
}

func address(args []string, otherwise string) string {
	if len(args) == 1 {
		return args[0]
	}
	return otherwise
}

func serve(address string, handler http.Handler) error {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 30 * time.Second}
	return server.ListenAndServe()
}

// helloworld answers as Istio's helloworld sample of that version.
func helloworld(version, host string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello version: %s, instance: %s\n", version, host)
	})
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "Helloworld is healthy")
	})
	return mux
}
