// grpc-echo is a client and a server whose gRPC library speaks xDS itself: what a pod with the template `grpc-agent` runs.
//
//	grpc-echo serve ADDRESS NAME   answers calls with its name and who called, by mutual TLS where pilot says so
//	grpc-echo call TARGET          makes a call for each line of its input, and writes what came of it as a line of JSON
//
// A line of the input holds the call's headers, as `name: value`, between semicolons; an empty one is a call without any. Where the library
// finds pilot, GRPC_XDS_BOOTSTRAP says.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The service's only method takes nothing, and says a text in JSON.
const (
	service = "ferromesh.samples.Echo"
	method  = "Say"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "grpc-echo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "serve":
		return serve(ctx, args[1], args[2])
	case len(args) == 2 && args[0] == "call":
		return callAll(ctx, args[1], os.Stdin, os.Stdout)
	}
	return fmt.Errorf("usage: grpc-echo serve ADDRESS NAME | grpc-echo call TARGET")
}

// certified says who is at the other end, and by which certificate; nothing in plain text.
func certified(p *peer.Peer) (identity, serial string) {
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return "", ""
	}
	leaf := info.State.PeerCertificates[0]
	if len(leaf.URIs) > 0 {
		identity = leaf.URIs[0].String()
	}
	return identity, leaf.SerialNumber.Text(16)
}

// describe is what code that protoc makes would say of the service.
func describe(say func(context.Context) (string, error)) *grpc.ServiceDesc {
	handler := func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		request := new(wrapperspb.StringValue)
		if err := decode(request); err != nil {
			return nil, err
		}
		answer := func(ctx context.Context, _ any) (any, error) {
			text, err := say(ctx)
			return wrapperspb.String(text), err
		}
		if intercept == nil {
			return answer(ctx, request)
		}
		return intercept(ctx, request, &grpc.UnaryServerInfo{FullMethod: "/" + service + "/" + method}, answer)
	}
	return &grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: method, Handler: handler}},
	}
}
