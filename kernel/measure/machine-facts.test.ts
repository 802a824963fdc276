import { describe, expect, it } from 'vitest';
import { cpuModel, lastCpu, machineFacts, majorMinor, nativeSource } from './machine-facts.ts';

describe('facts of the machine', () => {
  it('name the kernel, the processor and its L2 cache', () => {
    const { kernel, cpu_model, cpus, l2_bytes } = machineFacts();
    expect(kernel).toMatch(/^\d+\.\d+/);
    expect(cpu_model).not.toBe('');
    expect(cpus).toBeGreaterThan(0);
    expect(l2_bytes % 1024).toBe(0);
  });

  it('tell processors of one name apart', () => {
    const info =
      'processor\t: 0\ncpu family\t: 6\nmodel\t\t: 167\nmodel name\t: Some CPU\nstepping\t: 1\n\nprocessor : 1\n';
    expect(cpuModel(info)).toBe('Some CPU (family 6, model 167, stepping 1)');
    expect(cpuModel('model name : Some CPU\n')).toBe('Some CPU');
    expect(cpuModel('')).toBe('');
  });

  it('call the source by the first two numbers of the release', () => {
    expect(nativeSource('6.18.44-generic')).toBe('native-6.18');
    expect(majorMinor('odd, name')).toBe('odd__name');
  });

  it('choose the last processor that is allowed', () => {
    expect(lastCpu('Cpus_allowed:\t3\nCpus_allowed_list:\t0-1\n')).toBe(1);
    expect(lastCpu('Cpus_allowed_list:\t0,4-7,9\n')).toBe(9);
    expect(lastCpu('Cpus_allowed_list:\t0\n')).toBe(0);
    expect(lastCpu('')).toBe(0);
  });
});
