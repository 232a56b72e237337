package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	xdscreds "google.golang.org/grpc/credentials/xds"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	// Knows targets that begin with xds.
	_ "google.golang.org/grpc/xds"
)

// patience is how long a call may take that nothing else limits.
const patience = 5 * time.Second

// result is what came of a call.
type result struct {
	said
	// Who answered, and the serial number of its certificate.
	Server string `json:"server"`
	Serial string `json:"serial"`
	// The name of the status, and what it says if it is no good one.
	Code    string `json:"code"`
	Message string `json:"message"`
}

func callAll(ctx context.Context, target string, lines io.Reader, results io.Writer) error {
	creds, err := xdscreds.NewClientCredentials(xdscreds.ClientOptions{FallbackCreds: insecure.NewCredentials()})
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer conn.Close()
	encoder := json.NewEncoder(results)
	scanner := bufio.NewScanner(lines)
	for scanner.Scan() {
		if err := encoder.Encode(call(ctx, conn, headers(scanner.Text()))); err != nil {
			return err
		}
	}
	return scanner.Err()
}

func headers(line string) metadata.MD {
	found := metadata.MD{}
	for header := range strings.SplitSeq(line, ";") {
		if name, value, ok := strings.Cut(header, ":"); ok {
			found.Append(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	return found
}

func call(ctx context.Context, conn *grpc.ClientConn, headers metadata.MD) result {
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(ctx, headers), patience)
	defer cancel()
	var p peer.Peer
	answer := new(wrapperspb.StringValue)
	err := conn.Invoke(ctx, "/"+service+"/"+method, new(wrapperspb.StringValue), answer, grpc.Peer(&p))
	made := result{Code: status.Code(err).String(), Message: status.Convert(err).Message()}
	made.Server, made.Serial = certified(&p)
	if err == nil {
		err = json.Unmarshal([]byte(answer.GetValue()), &made.said)
	}
	if err != nil && made.Message == "" {
		made.Message = err.Error()
	}
	return made
}
