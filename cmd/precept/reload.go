package main

import (
	"log/slog"
	"reflect"
	"slices"
	"strings"
)

// liveKeys are those of the configuration that change while the service runs, when it
// gets SIGHUP. A key with a dot at its end stands for all under it.
var liveKeys = []string{"log_level", "limits.", "ceiling.", "origins", "timeouts.drain", "timeouts.shutdown"}

func live(key string) bool {
	return slices.ContainsFunc(liveKeys, func(k string) bool {
		return k == key || strings.HasSuffix(k, ".") && strings.HasPrefix(key, k)
	})
}

// changedKeys lists the keys whose values differ.
func changedKeys(before, after *config) (keys []string) {
	var walk func(prefix string, a, b reflect.Value)
	walk = func(prefix string, a, b reflect.Value) {
		for i := range a.NumField() {
			f := a.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			switch {
			case f.Type.Kind() == reflect.Struct:
				walk(prefix+name+".", a.Field(i), b.Field(i))
			case !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()):
				keys = append(keys, prefix+name)
			}
		}
	}
	walk("", reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem())
	return keys
}

// reload reads the configuration again and takes what can change while the service
// runs. A file that cannot be used changes nothing.
func (r *region) reload() {
	before := r.live.Load()
	next, err := readConfig(before.path)
	if err == nil {
		err = r.server.Reload(next.Limits.api(), next.Origins)
	}
	if r.stale.Store(err != nil); err != nil {
		r.log.Error("configuration is not taken: the one of before stays in force", "error", err.Error())
		return
	}
	r.level.Set(next.level())
	r.engine.SetCeiling(next.Ceiling.limits())
	r.live.Store(next)
	var taken, later []string
	for _, key := range changedKeys(r.cfg, next) {
		if !live(key) {
			later = append(later, key)
		}
	}
	for _, key := range changedKeys(before, next) {
		if live(key) {
			taken = append(taken, key)
		}
	}
	r.log.Info("configuration read again", "changed", taken, "after the next start", later)
}

// level is the lowest level of events that are logged.
func (c *config) level() slog.Level { return logLevels[c.LogLevel] }

var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
