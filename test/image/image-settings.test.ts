// Proves what the settings of an image become in its config, and which are refused.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import * as z from "zod";
import {
  checkSettings,
  configOf,
  type ImageSettings,
  imageSettingsSchema,
  mergeSettings,
} from "../../lib/image/image-settings.ts";
import { parseSettings } from "../../lib/image/settings-file.ts";
import { shellWords } from "../../lib/image/shell-words.ts";
import type { JsonObject } from "../../lib/spack/text/json-value.ts";
import { failsWith } from "../support/errors.ts";

const BASE: JsonObject = {
  Cmd: ["bash"],
  Env: ["PATH=/bin", "A=1"],
  Labels: { old: "1" },
  ExposedPorts: { "22/tcp": {} },
};

describe("settings in the config of an image", () => {
  const ROWS: { name: string; settings: ImageSettings; expect: JsonObject }[] = [
    {
      name: "an entrypoint clears the command of the base",
      settings: { entrypoint: "python3 -m http" },
      expect: { Entrypoint: ["python3", "-m", "http"], Cmd: null },
    },
    {
      name: "and has its own",
      settings: { entrypoint: ["a b"], cmd: "c 'd e'" },
      expect: { Entrypoint: ["a b"], Cmd: ["c", "d e"] },
    },
    { name: "a command alone", settings: { cmd: '["sh", "-c", "x | y"]' }, expect: { Cmd: ["sh", "-c", "x | y"] } },
    {
      name: "variables in place of others",
      settings: { env: { A: "2=3", B: "" } },
      expect: { Env: ["PATH=/bin", "A=2=3", "B="] },
    },
    { name: "labels are added", settings: { labels: { new: "x" } }, expect: { Labels: { old: "1", new: "x" } } },
    {
      name: "ports have a protocol",
      settings: { expose: ["80", "53/udp"] },
      expect: { ExposedPorts: { "22/tcp": {}, "80/tcp": {}, "53/udp": {} } },
    },
    { name: "volumes are a set", settings: { volumes: ["/data"] }, expect: { Volumes: { "/data": {} } } },
    {
      name: "the rest",
      settings: { user: "1000:nogroup", workdir: "/srv", stopSignal: "SIGINT" },
      expect: { User: "1000:nogroup", WorkingDir: "/srv", StopSignal: "SIGINT" },
    },
    {
      name: "a health check in nanoseconds",
      settings: { healthcheck: { test: "curl -f localhost", interval: "1m30s", timeout: "500ms", retries: 3 } },
      expect: { Healthcheck: { Test: ["CMD", "curl", "-f", "localhost"], Interval: 90e9, Timeout: 5e8, Retries: 3 } },
    },
    { name: "no health check", settings: { healthcheck: "none" }, expect: { Healthcheck: { Test: ["NONE"] } } },
  ];
  for (const { name, settings, expect } of ROWS)
    test(name, () => {
      checkSettings(settings, "docker");
      const config = configOf(BASE, settings);
      for (const [key, value] of Object.entries(expect)) assert.deepEqual(config[key] ?? null, value, key);
    });

  test("flags take precedence over the file, and mappings are merged", () => {
    const merged = mergeSettings(
      { user: "a", labels: { x: "1", y: "1" }, expose: ["80"] },
      { user: "b", labels: { y: "2" }, expose: ["81"] },
    );
    assert.deepEqual(merged, { user: "b", labels: { x: "1", y: "2" }, expose: ["80", "81"] });
  });
});

describe("settings that are refused", () => {
  const ROWS: { settings: object; message: RegExp; code?: "UNSUPPORTED" }[] = [
    { settings: { user: "a b" }, message: /user .* expected user or user:group/ },
    { settings: { workdir: "srv" }, message: /workdir .* absolute path/ },
    { settings: { expose: ["0"] }, message: /expose\.0/ },
    { settings: { expose: ["70000"] }, message: /at most 65535/ },
    { settings: { volumes: ["data"] }, message: /volumes\.0 .* absolute path/ },
    { settings: { stopSignal: "TERM" }, message: /stopSignal/ },
    { settings: { env: { "A B": "" } }, message: /env/ },
    { settings: { entrypoint: "echo $HOME" }, message: /\$ needs a shell/ },
    { settings: { entrypoint: "a | b" }, message: /\| needs a shell/ },
    { settings: { entrypoint: "'open" }, message: /not closed/ },
    { settings: { entrypoint: "[1]" }, message: /not a list of texts/ },
    { settings: { entrypoint: "" }, message: /entrypoint/ },
    { settings: { healthcheck: { test: "x" } }, message: /needs Docker's media types/, code: "UNSUPPORTED" },
    { settings: { unknown: 1 }, message: /not valid/ },
  ];
  for (const { settings, message, code = "USAGE" } of ROWS)
    test(JSON.stringify(settings), async () => {
      await failsWith(code, () => checkSettings(settings as ImageSettings, "oci"), message);
    });
  test("annotations with Docker's media types", async () => {
    await failsWith("UNSUPPORTED", () => checkSettings({ annotations: { a: "b" } }, "docker"), /OCI's media types/);
  });
});

test("a command is split as a shell does", () => {
  const rows: [string, string[]][] = [
    ["a  b\tc", ["a", "b", "c"]],
    [`a 'b "c' "d 'e \\" \\\\ \\x"`, ["a", 'b "c', `d 'e " \\ \\x`]],
    ["a\\ b''c ''", ["a bc", ""]],
    ["--x=1,2 a/b:c@d%e+f", ["--x=1,2", "a/b:c@d%e+f"]],
  ];
  for (const [text, words] of rows) assert.deepEqual(shellWords(text), words, text);
});

test("a file may have comments, and an unknown key names the one that was meant", async () => {
  assert.deepEqual(parseSettings("# how it runs\nentrypoint: [python3]\nexpose: ['80'] # web\n", "image.yaml"), {
    entrypoint: ["python3"],
    expose: ["80"],
  });
  assert.deepEqual(parseSettings("", "image.yaml"), {});
  assert.deepEqual(parseSettings('{"user": "me"}', "image.json"), { user: "me" });
  for (const [text, key] of [
    ["user: me\nentrypont: x\n", "entrypoint"],
    ["stop_signal: SIGINT\n", "stopSignal"],
    ["healthcheck:\n  test: x\n  intervall: 3s\n", "interval"],
  ] as const) {
    const error = await failsWith("CONFIG_INVALID", () => parseSettings(text, "image.yaml"), /image\.yaml/);
    assert.equal(error.hint, `did you mean ${key}?`);
  }
  await failsWith("CONFIG_INVALID", () => parseSettings("user: [1]\n", "image.yaml"), /image\.yaml.*user/);
  await failsWith("CONFIG_INVALID", () => parseSettings("- a\n", "image.yaml"));
});

test("the published schema accepts what is accepted, and no unknown key", () => {
  const validate = new Ajv2020().compile(z.toJSONSchema(imageSettingsSchema));
  assert.ok(validate({ entrypoint: "x", healthcheck: { test: ["a"], interval: "3s" }, expose: ["80/tcp"] }));
  assert.ok(!validate({ entrypont: "x" }));
});
