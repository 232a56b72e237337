package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	xdscreds "google.golang.org/grpc/credentials/xds"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/xds"
)

// said is what a server answers.
type said struct {
	Name   string `json:"name"`
	Caller string `json:"caller"`
}

// hesitate waits for as long as the call's header `delay` says.
func hesitate(ctx context.Context) error {
	for _, text := range metadata.ValueFromIncomingContext(ctx, "delay") {
		delay, err := time.ParseDuration(text)
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "header delay: %v", err)
		}
		select {
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-time.After(delay):
		}
	}
	return nil
}

func serve(ctx context.Context, address, name string) error {
	creds, err := xdscreds.NewServerCredentials(xdscreds.ServerOptions{FallbackCreds: insecure.NewCredentials()})
	if err != nil {
		return err
	}
	server, err := xds.NewGRPCServer(grpc.Creds(creds), xds.ServingModeCallback(func(at net.Addr, change xds.ServingModeChangeArgs) {
		fmt.Println(at, change.Mode, change.Err)
	}))
	if err != nil {
		return err
	}
	server.RegisterService(describe(func(ctx context.Context) (string, error) {
		answer := said{Name: name}
		if p, ok := peer.FromContext(ctx); ok {
			answer.Caller, _ = certified(p)
		}
		if err := hesitate(ctx); err != nil {
			return "", err
		}
		text, err := json.Marshal(answer)
		return string(text), err
	}), nil)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, server.GracefulStop)
	return server.Serve(listener)
}
