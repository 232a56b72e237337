package main

import (
	"bufio"
	"io"
	"net"
)

// tcpEcho listens on every port and sends each line back behind the prefix.
func tcpEcho(ports []string, prefix string) error {
	failed := make(chan error)
	for _, port := range ports {
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		go func() { failed <- acceptEcho(listener, prefix) }()
	}
	return <-failed
}

func acceptEcho(listener net.Listener, prefix string) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			echoLines(conn, prefix)
		}()
	}
}

// echoLines answers until the peer ends; text after its last line break is not answered.
func echoLines(conn io.ReadWriter, prefix string) {
	reader := bufio.NewReader(conn)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, prefix+" "+line); err != nil {
			return
		}
	}
}

// netcat sends input to the address and what comes back to output, until the peer ends.
func netcat(address string, input io.Reader, output io.Writer) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		io.Copy(conn, input)
		conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(output, conn)
	return err
}
