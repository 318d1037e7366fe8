/** @file A graph as text that a person can read: one line a tensor, inputs first, shapes at the end. */
import { formatShape } from "./shape.js";
import { reachable, type Tensor } from "./tensor.js";

/** Attributes that the line shows anyway, or that cannot be shown. */
const hidden: ReadonlySet<string> = new Set(["shape", "rule"]);

/** One line for each tensor that the outputs depend on: `%7 = matmul(%5, visual.proj, transposeB)  [B, 512]`. */
export function printGraph(outputs: Readonly<Record<string, Tensor>>): string {
  const names = new Map<Tensor, string>();
  const lines: string[] = [];
  let count = 0;
  for (const tensor of reachable(Object.values(outputs))) {
    const type = `${formatShape(tensor.shape)}${tensor.dtype === "float32" ? "" : ` ${tensor.dtype}`}`;
    const attributes = tensor.attributes as Readonly<Record<string, unknown>>;
    if (tensor.operator.name === "input") {
      names.set(tensor, String(attributes.name));
      lines.push(`${names.get(tensor)}  ${type}`);
    } else if (tensor.operator.name === "constant") {
      const values = Array.from(attributes.values as ArrayLike<number>);
      names.set(tensor, values.length === 1 ? String(+values[0]!.toPrecision(7)) : `constant${type}`);
    } else {
      names.set(tensor, `%${count++}`);
      const shown = Object.entries(attributes)
        .filter(([key, value]) => !hidden.has(key) && value !== false && !(key === "scale" && value === 1))
        .map(([key, value]) => (value === true ? key : `${key}=${Array.isArray(value) ? `[${value}]` : value}`));
      const inside = [...tensor.inputs.map((x) => names.get(x)), ...shown].join(", ");
      lines.push(`${names.get(tensor)} = ${tensor.operator.name}(${inside})  ${type}`);
    }
  }
  for (const [name, tensor] of Object.entries(outputs)) lines.push(`→ ${name} = ${names.get(tensor)}`);
  return lines.join("\n");
}
