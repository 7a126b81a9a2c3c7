import { defineConfig } from "vite";

// File names are fixed: Django's templates name them through {% static %}, and WhiteNoise serves them.
export default defineConfig({
  base: "./",
  publicDir: false,
  build: {
    outDir: "../static/portal/dist",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    modulePreload: false,
    rollupOptions: {
      input: { case: "src/case.ts", series: "src/series.ts", pages: "src/pages.ts" },
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
});
