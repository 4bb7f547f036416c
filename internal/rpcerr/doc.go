// Package rpcerr carries errors across gRPC: what a handler returns as a *fault.Error, the caller gets back as one.
//
// What for: a user must read the same reason, field, value and remedy, and get the same exit code, whether the refusal came
// from the command itself, from the maintainer it spoke to or from the leader behind that.
//
// What is promised: every reason survives the round trip, also through a process that forwards the call. The server sends
// no text of an error without a reason: the caller gets INTERNAL and the text goes to the log. A caller that receives a
// reason it does not know still knows its class, by the gRPC code.
//
// What is not: causes stay at home, and so does errors.Is against sentinels; use fault.Is. That a call was cancelled or late
// says nothing about its outcome.
//
// How it is used:
//
//	grpc.NewServer(grpc.UnaryInterceptor(rpcerr.UnaryServer(log)), grpc.StreamInterceptor(rpcerr.StreamServer(log)))
//	grpc.NewClient(addr, grpc.WithUnaryInterceptor(rpcerr.UnaryClient()), grpc.WithStreamInterceptor(rpcerr.StreamClient()))
//
// Put the server's interceptors first and the client's first, that is outermost, so that they see every error.
//
// Who may call it: anyone, from any goroutine.
package rpcerr
