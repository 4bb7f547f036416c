package main

import (
	"context"

	controlv1 "github.com/spanward/spanward/api/control/v1"
)

func config(keyspace string) *controlv1.Config {
	c := &controlv1.Config{Keyspace: keyspace, Maintainer: "m2", Values: []*controlv1.ConfigValue{
		{Key: "open-timeout", Value: "5m", Origin: "flag", Default: "1m", Unit: "duration", Least: "1ms", Most: "24h", Scope: "both", Help: "how long"},
	}}
	if keyspace == "" {
		return &controlv1.Config{Maintainer: "m2", Values: append(c.GetValues(),
			&controlv1.ConfigValue{Key: "in-flight", Value: "99", Origin: "cluster", Default: "512", Unit: "count", Least: "1", Most: "100000", Scope: "cluster", Help: "how many"},
			&controlv1.ConfigValue{Key: "warp", Value: "9", Origin: "cluster", Problem: "is unknown to this version"},
		)}
	}
	c.Values = append(c.Values, &controlv1.ConfigValue{Key: "place.spread", Origin: "default", Unit: "rule", Scope: "keyspace", Help: "a label"})
	return c
}

func (f *fake) GetConfig(_ context.Context, req *controlv1.GetConfigRequest) (*controlv1.GetConfigResponse, error) {
	return &controlv1.GetConfigResponse{Config: config(req.GetKeyspace())}, known("keyspace", req.GetKeyspace())
}

func (f *fake) SetConfig(_ context.Context, req *controlv1.SetConfigRequest) (*controlv1.SetConfigResponse, error) {
	return &controlv1.SetConfigResponse{Config: config(req.GetKeyspace())}, f.change(req, "keyspace", req.GetKeyspace())
}
