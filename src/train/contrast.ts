/**
 * @file From the features of a whole batch to its loss and the features' gradients, in blocks of rows, on all ranks.
 * Every rank looks at its own pictures against all texts and at its own texts against all pictures; no matrix of all
 * pictures by all texts is ever in memory. Two passes: the first finds log Σ exp of every row, which is all that a row has
 * to know of the columns it crosses; the second has the slope of each logit, and with it the gradients of the rows.
 * Between ranks travel features and one number a row.
 *
 * Shapes: R rows of a block, n pairs of this rank, N of all, E embedding size, W the teacher's.
 */
import { cosines, featureDistance, judge, l2Normalise, logSumExp, samePairs } from "../clip/index.js";
import { add, argMax, div, exp, gradient, input, mul, reshape, sum, type Tensor } from "../graph/index.js";
import type { Runtime, TensorData } from "../runtime/index.js";
import { type BatchReport, meanCosine, rightRows } from "./differentiate.js";
import type { Ranks } from "./ranks.js";
import type { Task } from "./stepper.js";

/** Something of the pictures and something of the texts. */
export type Side = "image" | "text";
export type Sides<T> = { readonly [side in Side]: T };
const eachSide = async <T>(of: (side: Side) => Promise<T>): Promise<Sides<T>> => ({
  image: await of("image"), // one after the other: ranks must meet in the same order
  text: await of("text"),
});
const other = { image: "text", text: "image" } as const;

export interface Contrasted extends BatchReport {
  /** This rank's part of the gradients of what is of neither tower, by name. */
  readonly ofNoTower: ReadonlyMap<string, number>;
}

export interface Contrast {
  /**
   * @param features unit vectors `[n, E]` of this rank; their gradients go to `into`, laid out alike
   * @param group `[n]`: numbers that mean the same on all ranks
   * @param teacher `[n, W]`
   */
  run(
    features: Sides<Float32Array>,
    group: Int32Array,
    teacher: Sides<TensorData> | undefined,
    into: Sides<Float32Array>,
  ): Promise<Contrasted>;
  dispose(): Promise<void>;
}

/** Both passes over a block of rows, as graphs. */
function blockGraphs({ config, objective }: Task) {
  const { distillation } = objective;
  const [rows, columns] = [input("rows", ["R", config.embedSize]), input("columns", ["N", config.embedSize])];
  const [scale, bias] = [input("logit_scale", []), input("logit_bias", [])];
  const products = cosines(rows, columns);
  const scaled = mul(products, exp(scale));
  const logits = config.logitBias ? add(scaled, bias) : scaled; // [R, N]
  const width = distillation?.features ? config.embedSize : "W";
  const teacherRows = l2Normalise(input("teacherRows", ["R", width]));
  const teacherColumns = l2Normalise(input("teacherColumns", ["N", width]));
  const teacher = distillation?.similarity
    ? div(cosines(teacherRows, teacherColumns), distillation.temperature)
    : undefined;
  const sums = {
    sums: logSumExp(logits, 1),
    best: argMax(products, 1),
    total: sum(rows, [0]),
    ...(teacher && { teacherSums: logSumExp(teacher, 1) }),
  };

  const pairs = input("pairs", []);
  const judged = judge(
    {
      logits,
      positive: samePairs(input("rowGroup", ["R"], "int32"), input("columnGroup", ["N"], "int32")),
      pairs,
      columnSums: input("columnSums", [1, "N"]),
      teacher: teacher && { logits: teacher, columnSums: input("teacherColumnSums", [1, "N"]) },
    },
    objective,
  );
  const [dRows, dScale, dBias] = gradient(logits, [rows, scale, bias], judged.slope) as [Tensor, Tensor, Tensor];
  const slopes = { loss: reshape(judged.loss, []), dRows, dScale, dBias };
  if (!distillation?.features) return { sums, slopes };
  const distance = mul(featureDistance(rows, teacherRows, pairs), distillation.features);
  return {
    sums,
    slopes: {
      ...slopes,
      loss: add(slopes.loss, distance),
      dRows: add(dRows, gradient(distance, [rows])[0]!),
    },
  };
}

/**
 * @param parameters the logit scale among them, and bias if there is one; read at every run
 * @param logitsAtOnce most logits of a block; a handful of arrays of that size are in memory at once
 */
export async function createContrast(
  task: Task,
  parameters: ReadonlyMap<string, TensorData>,
  runtime: Runtime,
  ranks: Ranks,
  logitsAtOnce = 1 << 21,
): Promise<Contrast> {
  const { embedSize } = task.config;
  const graphs = blockGraphs(task);
  const [sumsProgram, slopesProgram] = [
    await runtime.compile(graphs.sums, { givesBack: true }),
    await runtime.compile(graphs.slopes, { givesBack: true }),
  ];

  const scalars = Object.fromEntries([...parameters].filter(([name]) => /^logit_(scale|bias)$/.test(name)));

  return {
    async run(features, group, teacher, into) {
      const own = group.length;
      const groups = await ranks.allGather(group);
      const all = await eachSide((side) => ranks.allGather(features[side]));
      const allTeacher = teacher && (await eachSide((side) => ranks.allGather(teacher[side].data as Float32Array)));
      const pairs = groups.length;

      const blocks = function* (side: Side) {
        const size = Math.max(1, Math.floor(logitsAtOnce / pairs));
        for (let from = 0; from < own; from += size) {
          const to = Math.min(from + size, own);
          const rowsOf = (data: Float32Array, width: number): TensorData => ({
            data: data.subarray(from * width, to * width),
            shape: [to - from, width],
          });
          const width = teacher?.image.shape[1] ?? 0;
          const feeds: Record<string, TensorData> = {
            ...scalars,
            rows: rowsOf(features[side], embedSize),
            columns: { data: all[other[side]], shape: [pairs, embedSize] },
            ...(teacher &&
              allTeacher && {
                teacherRows: rowsOf(teacher[side].data as Float32Array, width),
                teacherColumns: { data: allTeacher[other[side]], shape: [pairs, width] },
              }),
          };
          yield { from, to, feeds, dRows: rowsOf(into[side], embedSize) };
        }
      };

      // ---- first pass: the logarithm of each row's sum
      const sums = { image: new Float32Array(own), text: new Float32Array(own) };
      const teacherSums = { image: new Float32Array(own), text: new Float32Array(own) };
      const right = { image: 0, text: 0 };
      const totals = { image: new Float32Array(embedSize), text: new Float32Array(embedSize) };
      for (const side of ["image", "text"] as const) {
        for (const { from, to, feeds } of blocks(side)) {
          const found = await sumsProgram.run(feeds);
          sums[side].set(found.sums!.data as Float32Array, from);
          if (found.teacherSums) teacherSums[side].set(found.teacherSums.data as Float32Array, from);
          right[side] += rightRows(found.best!, group.subarray(from, to), groups);
          for (const [i, value] of (found.total!.data as Float32Array).entries()) totals[side][i]! += value;
        }
      }
      const columnSums = await eachSide((side) => ranks.allGather(sums[side]));
      const teacherColumnSums = teacher && (await eachSide((side) => ranks.allGather(teacherSums[side])));

      // ---- second pass: the slope of each logit
      let loss = 0;
      const slopes = { logit_scale: 0, logit_bias: 0 };
      const ofColumns = (data: Float32Array): TensorData => ({ data, shape: [1, pairs] });
      for (const side of ["image", "text"] as const) {
        for (const { from, to, feeds, dRows } of blocks(side)) {
          const found = await slopesProgram.run(
            {
              ...feeds,
              rowGroup: { data: group.subarray(from, to), shape: [to - from] },
              columnGroup: { data: groups, shape: [pairs] },
              pairs: { data: Float32Array.of(pairs), shape: [] },
              columnSums: ofColumns(columnSums[other[side]]),
              ...(teacherColumnSums && { teacherColumnSums: ofColumns(teacherColumnSums[other[side]]) }),
            },
            { dRows },
          );
          loss += Number(found.loss!.data[0]);
          if (side === "text") continue; // the pictures' rows have met every logit
          slopes.logit_scale += Number(found.dScale!.data[0]);
          slopes.logit_bias += Number(found.dBias!.data[0]);
        }
      }
      const report = Float32Array.of(loss, right.image, right.text, ...totals.image, ...totals.text);
      await ranks.sum(report);
      const [lossOfAll, rightImages, rightTexts] = report as unknown as [number, number, number];
      return {
        loss: lossOfAll,
        imageAccuracy: rightImages / pairs,
        textAccuracy: rightTexts / pairs,
        imageCosine: meanCosine(report.subarray(3, 3 + embedSize), pairs),
        textCosine: meanCosine(report.subarray(3 + embedSize), pairs),
        ofNoTower: new Map(Object.entries(slopes)),
      };
    },
    async dispose() {
      await sumsProgram.dispose();
      await slopesProgram.dispose();
    },
  };
}
