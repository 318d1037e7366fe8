/** @file Pictures to time with: JPEG files of 1600×1200 that cost a decoder about what photographs do. */
import path from "node:path";
import sharp from "sharp";

const [width, height] = [1600, 1200];

/** A blurred pattern for the large, ellipses for the edges, grain for the detail. */
async function picture(file) {
  const layer = (size, sigma) =>
    sharp({
      create: { width: size, height: (size * 3) / 4, channels: 3, noise: { type: "gaussian", mean: 128, sigma } },
    });
  const pattern = await layer(64, 60).resize(width, height, { kernel: "cubic" }).png().toBuffer();
  const grain = await layer(width, 12).png().toBuffer();
  const random = (limit) => Math.round(Math.random() * limit);
  const ellipses = Array.from(
    { length: 25 },
    () =>
      `<ellipse cx="${random(width)}" cy="${random(height)}" rx="${random(200)}" ry="${random(200)}" fill="hsl(${random(360)} 60% 50%)"/>`,
  );
  const shapes = Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${ellipses.join("")}</svg>`,
  );
  await sharp(pattern)
    .composite([{ input: shapes }, { input: grain, blend: "soft-light" }])
    .jpeg({ quality: 85 })
    .toFile(file);
}

export async function drawPictures(folder, count) {
  for (let i = 0; i < count; i++) await picture(path.join(folder, `${String(i).padStart(2, "0")}.jpg`));
}
