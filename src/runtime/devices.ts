/** @file The devices that ONNX Runtime computes on, and how to get one that is not there. */

/** Device → what to do where it is missing. */
export const devices = {
  cpu: "",
  webgpu: "WebGPU needs a graphics driver: Vulkan on Linux (libvulkan1), Direct3D 12 on Windows, Metal on a Mac.",
  cuda: "CUDA needs an NVIDIA driver and the libraries that onnxruntime-node's install script downloads: npm rebuild onnxruntime-node --foreground-scripts.",
  coreml: "CoreML is there on a Mac only.",
  dml: "DirectML is there on Windows only.",
} as const;

export type Device = keyof typeof devices;

export const deviceNames = Object.keys(devices) as readonly Device[];
