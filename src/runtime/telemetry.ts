/**
 * @file From 1.30 on, ONNX Runtime's library for Linux and macOS reports its use to Microsoft, unless this variable is set
 * before it is loaded (its pull request 27379). Diptych calls nobody; who wants the reports sets `ORT_DISABLE_TELEMETRY=0`.
 */
process.env.ORT_DISABLE_TELEMETRY ??= "1";
