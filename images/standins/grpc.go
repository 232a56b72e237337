package main

import (
	"net/http"
	"time"
)

// healthCheck is the one method of gRPC's health protocol that the kubelet calls.
const healthCheck = "/grpc.health.v1.Health/Check"

// grpcHealth says that every service is serving. HTTP/2 without TLS, as the kubelet asks.
func grpcHealth(address string) error {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: address, Handler: healthy(), Protocols: protocols, ReadHeaderTimeout: 30 * time.Second}
	return server.ListenAndServe()
}

// healthy answers one call: a frame that is not compressed and two bytes long, field 1 of which, the status, is 1 (serving).
func healthy() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+healthCheck, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write([]byte{0, 0, 0, 0, 2, 8, 1})
		w.Header().Set("Grpc-Status", "0")
	})
	return mux
}
